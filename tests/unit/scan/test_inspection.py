"""Frames and pixels of a scan: clean scans lose nothing, and every kind of damage is named, with where it is."""

import damaged
import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.physics import probes
from ptycho.scan import geometry, inspection, odd_frames, simulate
from ptycho.scan.formats import npz
from ptycho.scan.raw import RawData

NOTICED = {
    "dark frames": "DARK-FRAMES-001",
    "dark rows": "DARK-FRAMES-001",
    "flashes": "FLASH-FRAMES-001",
    "saturation": "SATURATED-001",
    "repeated frames": "REPEATED-FRAMES-001",
    "shifted frames": "SHIFTED-FRAMES-001",
    "hot pixels": "HOT-PIXELS-001",
    "dead pixels": "DEAD-PIXELS-001",
    "gaps": "DETECTOR-GAP-001",
    "overflow": "OVERFLOW-001",
    "beam centre": "BEAM-CENTRE-001",
    "counts for amplitudes": "COUNTS-READ-001",
    "roots for amplitudes": "COUNTS-READ-001",
}


SIX = (
    *("idealised probe", "structured probe", "1,000 photons"),
    *("sparse object", "particle", "vacuum frames"),
)


def harmed(name, strength, kind="structured probe", seed=1):
    return damaged.DAMAGE[name].do(
        damaged.clean(kind, seed), strength, np.random.default_rng([seed, strength])
    )


def kinds(found):
    return {damage.kind for damage in found.damages}


@pytest.mark.parametrize("kind", damaged.CLEAN)
def test_a_clean_scan_loses_nothing_and_nothing_is_said(kind):
    raw = damaged.clean(kind)
    found = inspection.inspect(raw)
    assert found.damages == ()
    assert found.scan is raw
    np.testing.assert_array_equal(found.kept, np.arange(len(raw)))


@pytest.mark.parametrize("strength", [0, 2], ids=["weak", "strong"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.finding(which)) for name, which in NOTICED.items()]
)
def test_damage_is_named_with_where_it_is(name, strength):
    raw, where = harmed(name, strength)
    found = inspection.inspect(raw)
    named = [damage for damage in found.damages if damage.kind in damaged.DAMAGE[name].names]
    assert named
    assert kinds(found) <= set(damaged.DAMAGE[name].names)
    if where is not None:
        places = np.concatenate([damage.where for damage in named])
        assert sorted(places.tolist()) == sorted(where.tolist())


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTICED)
def test_nearly_all_damage_is_named_in_scans_of_all_kinds(name):
    """Weak and strong, but where nobody could: nine of ten of each kind. docs/inspection.py counts more: 19 of 20 of all."""
    kinds_of_scans = set(SIX) - set(damaged.DAMAGE[name].hidden_in)
    every = [(kind, strength) for kind in sorted(kinds_of_scans) for strength in (0, 2)]
    named = [
        kinds(inspection.inspect(harmed(name, strength, kind, seed=2)[0])) & set(damaged.DAMAGE[name].names)
        for kind, strength in every
    ]
    assert sum(map(bool, named)) >= 0.9 * len(every)


@pytest.mark.finding("DARK-FRAMES-001")
@pytest.mark.finding("FLASH-FRAMES-001")
@pytest.mark.finding("SHIFTED-FRAMES-001")
@pytest.mark.finding("REPEATED-FRAMES-001")
@pytest.mark.parametrize("name", ["dark frames", "flashes", "shifted frames", "repeated frames"])
def test_frames_that_are_plainly_bad_are_left_out_and_no_other(name):
    raw, rows = harmed(name, 2)
    found = inspection.inspect(raw)
    np.testing.assert_array_equal(found.kept, np.setdiff1d(np.arange(len(raw)), rows))
    np.testing.assert_array_equal(found.scan.diff3d, raw.diff3d[found.kept])
    np.testing.assert_array_equal(found.scan.positions, raw.positions[found.kept])


@pytest.mark.finding("HOT-PIXELS-001")
@pytest.mark.finding("DEAD-PIXELS-001")
@pytest.mark.finding("OVERFLOW-001")
@pytest.mark.parametrize("name", ["hot pixels", "dead pixels", "overflow"])
def test_pixels_that_are_plainly_bad_are_masked_and_no_other(name):
    raw, pixels = harmed(name, 2)
    found = inspection.inspect(raw)
    assert sorted(np.argwhere(found.scan.bad_pixels).tolist()) == sorted(pixels.tolist())
    assert not found.scan.diff3d[:, found.scan.bad_pixels].any()
    assert len(found.kept) == len(raw)


@pytest.mark.finding("SATURATED-001")
def test_what_is_cut_by_a_ceiling_is_named_and_stays():
    """Without the brightest pixels the object is worse than with their cut values."""
    raw, _ = harmed("saturation", 2)
    found = inspection.inspect(raw)
    (damage,) = found.damages
    assert damage.kind == "saturated pixels"
    assert "pixels share the largest value" in damage.evidence
    assert found.scan.bad_pixels is None


@pytest.mark.finding("OVERFLOW-001")
def test_a_frame_of_nothing_but_the_largest_number_goes_and_its_pixels_stay():
    raw = damaged.clean("structured probe")
    counts = damaged.counts_of(raw)
    counts[[5, 77]] = 2**32 - 1
    found = inspection.inspect(damaged.with_counts(raw, counts))
    assert "overflowing frames" in kinds(found)
    np.testing.assert_array_equal(found.kept, np.setdiff1d(np.arange(len(raw)), [5, 77]))
    assert found.scan.bad_pixels is None


@pytest.mark.finding("DETECTOR-GAP-001")
@pytest.mark.parametrize("turned", [False, True])
def test_a_gap_is_masked_where_light_would_fall(turned):
    raw, _ = harmed("gaps", 2)
    if turned:
        raw = raw.derived(diff3d=np.swapaxes(raw.diff3d, 1, 2), probe=np.swapaxes(raw.probe, 1, 2))
    never = ~raw.diff3d.any(axis=0)
    bad = inspection.inspect(raw).scan.bad_pixels
    assert (bad <= never).all()
    middle = np.hypot(*(np.indices(never.shape) - raw.N // 2)) < 12
    assert (bad >= never & middle).all()


def test_the_dark_middle_of_a_ring_is_no_gap():
    """A zone plate's stop keeps the middle of the detector dark: the probe's own far field says so."""
    raw = damaged.clean("structured probe")
    size = raw.N
    y, x = np.indices((size, size)) - size // 2
    ring = (np.hypot(y, x) > 6) & (np.hypot(y, x) < 18)
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(ring * np.exp(0.01j * (x**2 + y**2)))))
    light = np.abs(np.fft.fftshift(np.fft.fft2(probe))) ** 2
    counts = np.random.default_rng(0).poisson(light / light.sum() * 1e5, (len(raw), size, size))
    scan = RawData(raw.xcoords, raw.ycoords, np.sqrt(counts), probe)
    assert not kinds(inspection.inspect(scan)) & {"gap pixels", "dead pixels"}


@pytest.mark.finding("COUNTS-READ-001")
def test_patterns_that_are_read_the_wrong_way_make_all_that_follows_doubtful():
    found = inspection.inspect(harmed("counts for amplitudes", 1)[0])
    (wrong,) = found.wrong
    assert "counts, not amplitudes: read so they explain more" in wrong.line()
    assert "add --intensity" in wrong.line()
    assert len(found.kept) == 144
    assert inspection.inspect(damaged.clean("structured probe")).wrong == ()


@pytest.mark.finding("COUNTS-READ-001")
@pytest.mark.parametrize("photons", [3e3, 1e4, 3e4])
def test_few_photons_under_a_disk_of_light_are_not_called_counts(photons):
    """Roots of amplitudes have less noise, and a flat pattern is explained by less: that makes no counts of amplitudes."""
    for seed in (1, 2):
        raw = flat_disk(photons, seed)
        assert not kinds(inspection.inspect(raw))
        counts = raw.derived(diff3d=np.float32(0.98) * raw.diff3d**2)
        assert "counts, not amplitudes" in kinds(inspection.inspect(counts)) or photons < 1e4


def flat_disk(photons, seed):
    """A scan under a lens without structure in its far field: a few counts in each pixel of a disk."""
    size, rng = 64, np.random.default_rng(seed)
    f = np.fft.fftshift(np.fft.fftfreq(size))
    radius = np.hypot(*np.meshgrid(f, f)) / 0.28
    pupil = (radius < 1) * np.exp(1j * (10.8 * radius**2 + 10.7 * np.meshgrid(f, f)[0] * radius**2))
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil)))
    y, x = np.mgrid[:10, :10] * 6.0
    where = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-1.2, 1.2, (100, 2)) + 36
    amplitudes, scale = simulate.observe(damaged.texture((132, 132), seed), where, probe[None], photons, rng)
    return RawData(where[:, 0], where[:, 1], amplitudes, probe, photon_scale=scale)


class TestKeeping:
    def test_frames_stay_that_are_to_be_kept(self):
        raw, rows = harmed("dark frames", 2)
        assert len(inspection.inspect(raw, keep_frames="all").kept) == len(raw)
        some = inspection.inspect(raw, keep_frames=f"{rows[0]},{rows[2]}")
        assert {rows[0], rows[2]} < set(some.kept.tolist())
        assert len(some.kept) == len(raw) - len(rows) + 2
        assert kinds(some) == {"dark frames"}  # it is said all the same

    def test_pixels_stay_that_are_to_be_kept(self):
        raw, pixels = harmed("hot pixels", 2)
        assert inspection.inspect(raw, keep_pixels="all").scan.bad_pixels is None
        (y, x), *others = pixels.tolist()
        bad = inspection.inspect(raw, keep_pixels=f"{y}x{x}").scan.bad_pixels
        assert sorted(np.argwhere(bad).tolist()) == sorted(others)

    @pytest.mark.parametrize(
        ("how", "words"),
        [
            ({"keep_frames": "144"}, "--keep-frames 144: the scan has 144 frames, numbered from 0"),
            ({"keep_pixels": "3x64"}, "--keep-pixels 3x64: a pattern has 64 x 64 pixels"),
        ],
    )
    def test_what_is_not_there_cannot_be_kept(self, how, words):
        with pytest.raises(DataContractError, match=words):
            inspection.inspect(damaged.clean("structured probe"), **how)


class TestTooLittleIsLeft:
    def test_where_every_pixel_counts_by_itself(self):
        raw = damaged.clean("structured probe")
        rng = np.random.default_rng(0)
        steady = rng.uniform(500, 2000, (raw.N, raw.N))
        hot = damaged.with_counts(raw, rng.poisson(np.broadcast_to(steady, raw.diff3d.shape)))
        with pytest.raises(DataContractError, match="every pixel counts by itself"):
            inspection.inspect(hot)

    def test_where_every_pixel_overflows(self):
        raw = damaged.clean("structured probe")
        counts = damaged.counts_of(raw)
        counts[5, :32] = counts[6, 32:] = 2**32 - 1
        with pytest.raises(DataContractError, match=r"of 4096 pixels are bad \(.* overflowing pixels"):
            inspection.inspect(damaged.with_counts(raw, counts))

    def test_of_frames(self):
        raw = damaged.clean("structured probe")
        counts = damaged.counts_of(raw)
        counts[::2] = 0
        counts[1] = 0
        with pytest.raises(
            DataContractError, match=r"73 of 144 frames are bad \(73 dark frames: .*--keep-frames all"
        ):
            inspection.inspect(damaged.with_counts(raw, counts))

    def test_of_pixels(self, monkeypatch):
        raw, pixels = harmed("dead pixels", 2)
        monkeypatch.setattr(inspection, "MOST_PIXELS", 0.004)
        with pytest.raises(
            DataContractError, match=rf"{len(pixels)} of 4096 pixels are bad .*--keep-pixels all"
        ):
            inspection.inspect(raw)

    def test_a_mask_may_leave_as_little_as_it_likes(self):
        raw = damaged.clean("structured probe")
        bad = np.ones((raw.N, raw.N), bool)
        bad[20:44, 20:44] = False
        found = inspection.inspect(raw.derived(bad_pixels=bad))
        assert found.scan.bad_pixels.sum() == found.given_pixels == 64**2 - 24**2

    def test_of_light(self):
        raw = damaged.clean("structured probe")
        lit = damaged.counts_of(raw).sum(axis=0) > 0
        dark = raw.derived(bad_pixels=lit)
        with pytest.raises(DataContractError, match="144 of 144 frames are bad"):
            inspection.inspect(dark)


def test_of_a_small_scan_only_frames_without_light_are_left_out():
    raw = damaged.clean("structured probe").take(np.arange(8))
    counts = damaged.counts_of(raw)
    counts[3] = 0
    counts[5] *= 100
    found = inspection.inspect(damaged.with_counts(raw, counts))
    assert found.kept.tolist() == [0, 1, 2, 4, 5, 6, 7]


def test_a_scan_of_one_frame_is_looked_at():
    raw = damaged.clean("structured probe").take(np.arange(1))
    assert len(inspection.inspect(raw).scan) == 1


@pytest.mark.parametrize("factor", [1e-4, 1.0, 150.0])
def test_units_of_the_detector_change_nothing(factor):
    """Electron counters give any multiple of an electron: what is noise must not depend on it."""
    for name in ("hot pixels", "dead pixels", "dark frames"):
        raw, _ = harmed(name, 1)
        scaled = raw.derived(diff3d=raw.diff3d * np.float32(factor))
        assert kinds(inspection.inspect(scaled)) == kinds(inspection.inspect(raw))
    for kind in ("100 photons", "structured probe"):
        clean = damaged.clean(kind)
        assert not inspection.inspect(clean.derived(diff3d=clean.diff3d * np.float32(factor))).damages


def test_a_frame_is_never_its_own_neighbour():
    raw = damaged.clean("structured probe")
    where = raw.positions.copy()
    where[10:30] = where[10]  # as many at one place as a tree returns, and more
    near = odd_frames.measure(raw.at(where)).neighbours
    assert not (near == np.arange(len(raw))[:, None]).any()


@pytest.mark.finding("BEAM-CENTRE-001")
def test_the_centre_is_found_beside_a_gap():
    """Bad pixels are no darkness: a gap beside the beam must not push its centre away."""
    raw, _ = harmed("beam centre", 1)
    bad = np.zeros((raw.N, raw.N), bool)
    bad[raw.N // 2 + 6 : raw.N // 2 + 12] = True
    assert geometry.beam_centre(raw.derived(bad_pixels=bad)) == geometry.beam_centre(raw) == (-4, 5)


def test_a_clean_scan_with_a_real_probe_that_is_its_own_twin_is_clean():
    probe = probes.make_probe(damaged.ProbeConfig(kind="idealized"), 64)[0]
    assert probes.is_twin_ambiguous(probe)
    assert not inspection.inspect(damaged.clean("idealised probe", 5)).damages


def test_of_the_measured_star_one_pixel_is_hot_and_no_frame_is_lost(measured):
    """It counts 293 in every frame, as a constant does: nobody had seen it."""
    raw = npz.read_npz(measured("siemens_star/siemens_star.npz"))
    found = inspection.inspect(raw)
    assert np.argwhere(found.scan.bad_pixels).tolist() == [[64, 65]]
    assert len(found.kept) == len(raw)
    counts = damaged.counts_of(raw)[:, 64, 65]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.3)
    assert not found.wrong


@pytest.mark.parametrize(
    ("harm", "strength", "name"),
    [
        (damaged.dark, 1, "dark frames"),
        (damaged.flash, 1, "flash frames"),
        (damaged.repeated, 1, "repeated frames"),
        (damaged.gap, 1, "gap pixels"),
        (damaged.dead, 1, "dead pixels"),
        (damaged.counts_as_amplitudes, 1, "counts, not amplitudes"),
    ],
)
def test_damage_to_the_measured_star_is_named(harm, strength, name, measured):
    raw = npz.read_npz(measured("siemens_star/siemens_star.npz"))
    broken, _ = harm(raw, strength, np.random.default_rng(1))
    assert name in kinds(inspection.inspect(broken))
