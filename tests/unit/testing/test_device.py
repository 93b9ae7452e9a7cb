"""Where networks run, as a test session tells frameworks."""

import pytest

from ptycho.testing import device as devices


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("cpu", {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}),
        ("gpu", {"PTYCHO_REQUIRE_GPU": "1"}),
        ("auto", {}),
    ],
)
def test_the_device_is_what_frameworks_are_told(device, expected, pytester, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "PTYCHO_REQUIRE_GPU"):
        monkeypatch.setenv(name, "before")
        monkeypatch.delenv(name)
    assert devices.environment(device) == expected
    pytester.makepyfile(
        f"""
        import os
        def test_it():
            names = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "PTYCHO_REQUIRE_GPU")
            assert {{n: os.environ[n] for n in names if n in os.environ}} == {expected!r}
        """
    )
    done = pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", "--device", device)
    done.assert_outcomes(passed=1)
