"""Config: one table of frozen, validated values, and one rule of precedence."""

import copy
import json
import typing
from pathlib import Path

import annotated_types
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ptycho.base import toml
from ptycho.base.errors import ConfigError
from ptycho.runs import prepare
from ptycho.settings import config as c
from ptycho.settings import fields, layers
from ptycho.settings.config import Config
from ptycho.settings.layers import parse_override, resolve

PATHS = c.leaf_paths()


def field_at(path):
    """The pydantic field of a dotted path."""
    section, *rest = path.split(".")
    field = Config.model_fields[section]
    for name in rest:
        field = field.annotation.model_fields[name]
    return field


def default_at(path):
    return c.lookup(Config().to_dict(), path)


def other_value(path):
    """A valid value that is not the default."""
    special = {
        "N": 128,
        "gridsize": 2,
        "name": "another",
        "description": "words",
        "probe.file": "some/probe.npz",
        "solver.start": "some/object.npz",
        "inspection.keep_frames": "3,7,40-49",
        "inspection.keep_pixels": "12x40",
        "solver.choose": "probe,modes",
    }
    if path in special:
        return special[path]
    field, default = field_at(path), default_at(path)
    if typing.get_origin(field.annotation) is typing.Literal:
        return next(choice for choice in typing.get_args(field.annotation) if choice != default)
    if isinstance(default, bool):
        return not default
    if default is None:
        return 7
    if isinstance(default, int):
        return default - 1 if default > 2 else default + 1
    return default * 0.9 if default else 0.5


def as_text(value):
    """How a person types a value on the command line."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def table_of(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


def bounded():
    """Every numeric bound of the table, with a value that breaks it."""
    for path in PATHS:
        for bound in field_at(path).metadata:
            if isinstance(bound, annotated_types.Gt):
                yield path, bound.gt
            elif isinstance(bound, annotated_types.Ge):
                yield path, bound.ge - 1
            elif isinstance(bound, annotated_types.Lt):
                yield path, bound.lt
            elif isinstance(bound, annotated_types.Le):
                yield path, 2 * bound.le + 1


BOOLEANS = [path for path in PATHS if isinstance(default_at(path), bool)]
CHOICES = [path for path in PATHS if typing.get_origin(field_at(path).annotation) is typing.Literal]
NUMBERS = [path for path in PATHS if isinstance(default_at(path), (int, float)) and path not in BOOLEANS]


class TestOneTable:
    def test_the_helpers_of_this_file_see_the_whole_table(self):
        assert len(PATHS) > 50
        assert len(BOOLEANS) > 5
        assert len(CHOICES) > 5
        assert len(NUMBERS) > 20

    @pytest.mark.finding("GRIDLINES-OBJECT-BIG-001")
    def test_the_stored_form_holds_every_parameter(self):
        def keys(values, prefix=""):
            for key, value in values.items():
                if isinstance(value, dict):
                    yield from keys(value, f"{prefix}{key}.")
                else:
                    yield prefix + key

        assert sorted(keys(Config().to_dict())) == sorted(PATHS)

    @pytest.mark.parametrize("path", PATHS)
    def test_stored_as_json_and_read_back_it_is_the_same_config(self, path):
        changed = Config.from_dict(table_of(path, other_value(path)))
        assert changed != Config()
        assert Config.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed

    @pytest.mark.parametrize("path", PATHS)
    def test_differences_name_what_was_changed_and_nothing_else(self, path):
        changed = Config.from_dict(table_of(path, other_value(path)))
        assert c.differences(Config(), changed) == {path: (default_at(path), other_value(path))}

    @pytest.mark.parametrize(("gridsize", "channels"), [(1, 1), (2, 4), (3, 9)])
    def test_a_group_has_gridsize_squared_channels(self, gridsize, channels):
        assert Config(gridsize=gridsize, grouping={"neighbor_count": 9}).channels == channels


class TestFrozen:
    @pytest.mark.parametrize("path", PATHS)
    def test_no_value_can_be_changed(self, path):
        *sections, name = path.split(".")
        holder = Config()
        for section in sections:
            holder = getattr(holder, section)
        before = getattr(holder, name)
        with pytest.raises(ValidationError, match="frozen"):
            setattr(holder, name, other_value(path))
        assert getattr(holder, name) == before

    def test_two_configs_share_no_state(self):
        first = Config.from_dict({"probe": {"scale": 4.0}})
        assert Config().probe.scale == 10.0
        assert first.probe.scale == 4.0

    def test_equal_values_make_equal_configs_with_equal_hashes(self):
        assert Config(N=128) == Config(N=128)
        assert hash(Config(N=128)) == hash(Config(N=128))
        assert Config(N=128) != Config(N=32)


class TestPrecedence:
    """Override > profile > scenario > default, for every parameter."""

    @pytest.mark.finding("NEW-CLI-PRECEDENCE")
    @pytest.mark.parametrize("path", PATHS)
    def test_every_parameter_obeys_it(self, path):
        default, other = default_at(path), other_value(path)
        scenario = table_of(path, other)
        back = {**scenario, "profiles": {"back": table_of(path, default)}}

        def value(config):
            return c.lookup(config.to_dict(), path)

        assert value(resolve({})) == default
        assert value(resolve(scenario)) == other, "the scenario beats the default with an empty command line"
        assert value(resolve(back, profile="back")) == default, "the profile beats the scenario"
        assert value(resolve(back)) == other, "a profile that was not asked for has no effect"
        if path not in ("description",):  # an empty text cannot be typed
            assert value(resolve(scenario, overrides=[f"{path}={as_text(default)}"])) == default
        override = f"{path}={as_text(other)}"
        assert value(resolve(back, profile="back", overrides=[override])) == other, "the override beats all"

    @pytest.mark.finding("NEW-CLI-PRECEDENCE")
    @pytest.mark.parametrize("path", BOOLEANS)
    @pytest.mark.parametrize(
        ("text", "value"), [("False", False), ("false", False), ("True", True), ("true", True)]
    )
    def test_every_boolean_can_be_switched_both_ways(self, path, text, value):
        assert c.lookup(resolve({}, overrides=[f"{path}={text}"]).to_dict(), path) is value

    def test_the_last_override_wins(self):
        assert resolve({}, overrides=["training.epochs=3", "training.epochs=9"]).training.epochs == 9

    def test_overriding_one_key_leaves_its_neighbours(self):
        scenario = {"training": {"epochs": 7, "batch_size": 3, "loss": {"nll": 2.0}}}
        config = resolve(scenario, overrides=["training.loss.mae=0.5", "training.epochs=8"])
        assert config.training.epochs == 8
        assert config.training.batch_size == 3
        assert config.training.loss.nll == 2.0
        assert config.training.loss.mae == 0.5

    def test_resolving_leaves_the_tables_unchanged(self):
        scenario = {"N": 128, "probe": {"scale": 4.0}, "profiles": {"p": {"probe": {"mask": True}}}}
        before = copy.deepcopy(scenario)
        resolve(scenario, profile="p", overrides=["probe.scale=2.0"])
        assert scenario == before

    @given(
        base=st.dictionaries(
            st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.integers())
        ),
        top=st.dictionaries(
            st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.integers())
        ),
    )
    def test_laying_one_table_over_another(self, base, top):
        merged = layers.merge(base, top)
        assert merged.keys() == base.keys() | top.keys()
        for key, value in merged.items():
            if key not in top:
                assert value == base[key]
            elif isinstance(top[key], dict) and isinstance(base.get(key), dict):
                assert value == {**base[key], **top[key]}
            else:
                assert value == top[key]


class TestOverrideText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("training.epochs=20", ("training.epochs", 20)),
            (" training.epochs = 20 ", ("training.epochs", 20)),
            ("simulation.nphotons=1e4", ("simulation.nphotons", 1e4)),
            ("probe.file=/data/my probe=2.npz", ("probe.file", "/data/my probe=2.npz")),
            ("probe.kind=custom", ("probe.kind", "custom")),
            ('name="quoted"', ("name", "quoted")),
            ("inference.n_groups=None", ("inference.n_groups", None)),
        ],
    )
    def test_values_are_read_as_a_person_means_them(self, text, expected):
        assert parse_override(text) == expected

    @pytest.mark.parametrize("text", ["training.epochs", "=3", " = 3", ""])
    def test_what_is_not_path_equals_value_is_refused_with_an_example(self, text):
        with pytest.raises(ConfigError, match=r"expected path=value, for example training\.epochs=20"):
            parse_override(text)

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("trainig.epoch", "training.epochs"),
            ("epochs", "training.epochs"),
            ("warm", "model.warm_steps"),
            ("model.nphotons", "simulation.nphotons"),
            ("training.learning", "training.learning_rate"),
            ("trainig.bach_size", "training.batch_size"),
            ("gates.ssim", "gates.min_ssim"),
        ],
    )
    def test_a_misspelt_path_is_answered_with_the_nearest(self, path, meant):
        """The parameter's own name where it, or its beginning, is right; else the path that looks most like it."""
        with pytest.raises(ConfigError) as caught:
            parse_override(f"{path}=3")
        assert f"no parameter '{path}'; did you mean {meant}?" in str(caught.value)

    def test_a_path_like_nothing_gets_no_guess(self):
        with pytest.raises(ConfigError, match="no parameter") as caught:
            parse_override("qqqqqq=3")
        assert "did you mean" not in str(caught.value)

    def test_a_whole_section_cannot_be_set(self):
        with pytest.raises(ConfigError, match="no parameter 'probe'"):
            parse_override("probe={scale=3}")


class TestRefused:
    """Whatever is wrong: the source, the key, the value and the expectation stand in one line."""

    @pytest.mark.parametrize(("path", "value"), list(bounded()))
    def test_every_bound_holds(self, path, value):
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(table_of(path, value), source="file.toml")
        assert str(caught.value).startswith(f"file.toml: {path} = {value!r}: ")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("path", CHOICES)
    def test_every_choice_lists_its_words(self, path):
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(table_of(path, "gelu"))
        assert f"{path} = 'gelu'" in str(caught.value)
        for word in typing.get_args(field_at(path).annotation):
            assert word in str(caught.value)

    @pytest.mark.parametrize("path", NUMBERS)
    @pytest.mark.parametrize("value", ["3", True])
    def test_text_and_booleans_are_no_numbers(self, path, value):
        with pytest.raises(ConfigError, match="should be a valid"):
            Config.from_dict(table_of(path, value))

    @pytest.mark.parametrize("path", [path for path in NUMBERS if isinstance(default_at(path), float)])
    @pytest.mark.parametrize("text", ["inf", "nan"])
    def test_infinity_and_nan_are_no_values(self, path, text):
        with pytest.raises(ConfigError, match=path):
            resolve({}, overrides=[f"{path}={text}"])

    def test_a_fraction_is_no_integer(self):
        with pytest.raises(ConfigError, match=r"training\.epochs = 2\.5"):
            Config.from_dict({"training": {"epochs": 2.5}})

    def test_an_unknown_key_is_answered_with_the_nearest(self):
        with pytest.raises(
            ConfigError, match=r"unknown key 'training\.epoch'; did you mean training\.epochs\?"
        ):
            Config.from_dict({"training": {"epoch": 3}})

    @pytest.mark.finding("CONFIG-002")
    @pytest.mark.parametrize("key", ["output_dir", "device", "workers", "verbose", "strategy"])
    def test_a_knob_of_the_execution_is_no_parameter(self, key):
        with pytest.raises(ConfigError, match=f"unknown key '{key}'"):
            Config.from_dict({key: "x"})

    def test_several_mistakes_are_told_at_once(self):
        with pytest.raises(ConfigError) as caught:
            Config.from_dict({"gridsize": 9, "training": {"epochs": 0}, "nonsense": 1})
        for part in ("gridsize = 9", "training.epochs = 0", "unknown key 'nonsense'"):
            assert part in str(caught.value)

    def test_a_value_where_a_table_belongs(self):
        with pytest.raises(ConfigError, match="probe = 3"):
            Config.from_dict({"probe": 3})

    @pytest.mark.finding("PARAMS-N-DIV4-001")
    @pytest.mark.parametrize("N", [0, -64, 63, 66, 126, 138, 512])
    def test_a_size_that_is_not_supported_is_named(self, N):
        with pytest.raises(ConfigError, match=rf"N must be one of 32, 64, 128, 256; got {N}$"):
            Config(N=64).from_dict({"N": N})

    @pytest.mark.parametrize("N", c.SUPPORTED_N)
    def test_every_supported_size_has_a_centre_half(self, N):
        assert N // 2 + 2 * (N // 4) == N
        assert Config(N=N).N == N

    def test_too_few_neighbours_for_a_group(self):
        with pytest.raises(ConfigError, match=r"grouping\.neighbor_count = 3 must be >= gridsize\^2 = 4"):
            Config.from_dict({"gridsize": 2, "grouping": {"neighbor_count": 3}})

    def test_neighbours_do_not_matter_where_none_are_sought(self):
        alone = Config.from_dict({"gridsize": 1, "grouping": {"neighbor_count": 1}})
        assert alone.grouping.neighbor_count < 4
        raster = {"gridsize": 3, "grouping": {"neighbor_count": 4, "method": "consecutive"}}
        assert Config.from_dict(raster).channels == 9

    @pytest.mark.finding("H-LOSS-WEIGHTS (D6a)")
    def test_a_loss_without_a_data_term(self):
        with pytest.raises(
            ConfigError, match="at least one of amplitude, nll and mae must have a weight > 0"
        ):
            Config.from_dict({"training": {"loss": {"amplitude": 0.0, "total_variation": 1.0}}})

    def test_physics_alone_trains_the_photon_scale_or_nothing(self):
        with pytest.raises(ConfigError, match="with steps = 0 the photon scale alone is trained"):
            Config.from_dict({"model": {"steps": 0, "trainable_photon_scale": False}})
        assert Config.from_dict({"model": {"steps": 0}}).model.steps == 0
        fixed = {"steps": 0, "trainable_photon_scale": False, "architecture": "unet"}
        assert Config.from_dict({"model": fixed}).model.architecture == "unet"

    def test_an_unknown_profile_is_answered_with_the_known(self):
        with pytest.raises(
            ConfigError, match=r"gs1\.toml: unknown profile 'quik'; it has fast, quick, smoke"
        ):
            resolve({"profiles": {"smoke": {}, "quick": {}}}, profile="quik", source="gs1.toml")
        with pytest.raises(ConfigError, match="it has fast"):
            resolve({}, profile="quick")

    def test_profiles_are_joined_and_the_last_is_the_strongest(self):
        table = {"seed": 1, "profiles": {"a": {"seed": 2, "N": 128}, "b": {"seed": 3}}}
        assert (resolve(table, "a+b").seed, resolve(table, "a+b").N) == (3, 128)
        assert resolve(table, "b+a").seed == 2
        with pytest.raises(ConfigError, match="unknown profile 'c'"):
            resolve(table, "a+c")

    def test_every_scenario_has_a_fast_profile_of_two_steps_and_may_have_its_own(self):
        model = resolve({"model": {"warm_steps": 7, "filters": 4}}, "fast").model
        assert (model.warm_steps, model.steps, model.final_steps, model.filters) == (0, 2, 0, 4)
        own = resolve({"profiles": {"fast": {"model": {"steps": 1}, "training": {"epochs": 4}}}}, "fast")
        assert (own.model.steps, own.model.warm_steps) == (1, 0), "it adds to the common one"
        assert (own.training.epochs, own.training.learning_rate) == (4, 2e-3)

    def test_a_mistake_in_an_unused_profile_does_no_harm_and_in_a_used_one_is_told(self):
        table = {"profiles": {"bad": {"trainig": {}}}}
        assert resolve(table) == Config()
        with pytest.raises(ConfigError, match="unknown key 'trainig'"):
            resolve(table, profile="bad")


class TestFiles:
    def test_a_toml_file_gives_its_table(self, tmp_path):
        path = tmp_path / "s.toml"
        path.write_text('name = "größe"\n[probe]\nscale = 4\n', encoding="utf-8")
        config = resolve(toml.load_toml(path))
        assert config.name == "größe"
        assert config.probe.scale == 4.0

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match=r"absent\.toml: no such file"):
            toml.load_toml(tmp_path / "absent.toml")

    def test_a_malformed_file_is_named_with_the_line(self, tmp_path):
        path = tmp_path / "broken.toml"
        path.write_text("N = 64\nprobe = = 3\n")
        with pytest.raises(ConfigError, match=r"broken\.toml: not valid TOML: .*line 2"):
            toml.load_toml(path)

    def test_a_file_that_is_no_text(self, tmp_path):
        path = tmp_path / "bytes.toml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match=r"bytes\.toml: not valid TOML"):
            toml.load_toml(path)

    @pytest.mark.finding("TYPE-PATH-001")
    @pytest.mark.parametrize("path", [p for p in PATHS if Path in typing.get_args(field_at(p).annotation)])
    def test_a_path_may_be_given_as_text(self, path):
        as_path = Config.from_dict(table_of(path, Path("some/probe.npz")))
        as_str = Config.from_dict(table_of(path, "some/probe.npz"))
        assert as_path == as_str
        assert as_str.to_dict() == as_path.to_dict()
        section, name = path.split(".")
        assert isinstance(getattr(getattr(as_str, section), name), Path)


def test_every_section_forbids_unknown_keys_is_strict_and_frozen():
    kinds = [f.annotation for f in Config.model_fields.values() if isinstance(f.annotation, type)]
    sections = [Config, *(kind for kind in kinds if issubclass(kind, BaseModel))]
    assert len(sections) > 8
    for section in sections:
        assert section.model_config["extra"] == "forbid", section
        assert section.model_config["strict"], section
        assert section.model_config["frozen"], section


def test_an_override_beats_the_side_of_a_scan_that_is_given():
    """Not in silence: what does not fit is told when the scan is used."""
    scan = oracles.make_scan()
    for scenario in (None, "gs1_ideal"):
        assert prepare.of_scan(scan, Path("scan.npz"), scenario, None, []).N == 32
        assert prepare.of_scan(scan, Path("scan.npz"), scenario, None, ["N=64"]).N == 64


class TestEveryField:
    """A parameter says what it is, in what unit, and when it acts."""

    @pytest.mark.parametrize("path", PATHS)
    def test_it_has_its_line(self, path):
        assert len(field_at(path).description or "") > 10

    @pytest.mark.parametrize("path", PATHS)
    def test_a_number_has_its_unit_and_nothing_else_has_one(self, path):
        field = field_at(path)
        kinds = {field.annotation, *typing.get_args(field.annotation)}
        assert (fields.unit_of(field) is not None) == bool(kinds & {int, float}), path
        if path.endswith("_px"):
            assert fields.unit_of(field) == "px"

    def test_three_blocks_divide_no_side(self):
        with pytest.raises(ConfigError, match="block = 3: no N is divisible by it; use 1, 2 or 4"):
            resolve({}, None, ["model.block=3"])


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "s.toml").write_bytes(b"\xef\xbb\xbfgridsize = 2\n")
    assert toml.load_toml(tmp_path / "s.toml") == {"gridsize": 2}
