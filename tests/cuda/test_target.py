"""The choice of a target where CUDA cannot be used, and the one line that says so."""

import importlib.util
import struct

import numpy as np
import pytest

from snnsim import config
from snnsim.engines import choose_target
from snnsim.errors import InputError
from snnsim.kernels.cuda import availability, compiler, trouble
from snnsim.training.session_cuda import CudaSession

WITH_CUDA = importlib.util.find_spec("numba_cuda") is not None


def test_choice():
    assert choose_target("cpu") == "cpu"
    assert choose_target("auto") == ("cuda" if availability.availability().usable else "cpu")
    with pytest.raises(InputError, match="must be one of cpu, cuda, auto"):
        choose_target("gpu")


def test_cuda_never_falls_back(monkeypatch):
    missing = availability.Availability(None, None, None, "the package numba-cuda", "pip install 'snnsim[cuda13]'")
    monkeypatch.setattr(availability, "availability", lambda: missing)
    with pytest.raises(InputError) as error:
        choose_target("cuda")
    assert "numba-cuda" in str(error.value)
    assert "snnsim[cuda13]" in str(error.value)
    assert "\n" not in str(error.value)
    assert choose_target("auto") == "cpu"


@pytest.mark.parametrize("engine", ["clock", "hybrid", "event"])
def test_every_engine_wants_what_is_there(monkeypatch, engine):
    missing = availability.Availability(None, None, None, "the package numba-cuda", "pip install 'snnsim[cuda13]'")
    monkeypatch.setattr(availability, "availability", lambda: missing)
    with pytest.raises(InputError, match="missing: the package numba-cuda"):
        CudaSession(config.load(None, [f"simulation.engine='{engine}'"]))


@pytest.mark.parametrize("engine", ["clock", "hybrid", "event"])
def test_micro_batches_belong_to_the_cpu(engine):
    with pytest.raises(InputError, match=r"training\.micro_batches = 2: target = 'cuda' has none"):
        CudaSession(config.load(None, [f"simulation.engine='{engine}'", "training.micro_batches=2"]))


def test_what_a_launch_gives_to_the_driver():
    codes, cells = [], []
    compiler.flatten((3, np.float32(0.5), (True, 2.0), np.int32(-1)), codes, cells)
    assert codes == ["q", "f", "(", "?", "d", ")", "i"]
    assert cells == [struct.pack(f"<{form}", value) for form, value in (
        ("q", 3), ("f4x", 0.5), ("?7x", True), ("d", 2.0), ("i4x", -1))]  # fmt: skip


def test_a_launch_wants_device_arrays():
    with pytest.raises(TypeError, match=r"numpy\.ndarray'>: must be a device array of Numba or one of SCALARS"):
        compiler.flatten((np.zeros(3),), [], [])


def test_what_is_missing():
    found = availability.availability()
    assert found.usable == (found.device is not None)
    if not WITH_CUDA:
        assert found.missing == "the package numba-cuda"
        assert "cuda12" in found.extra
        assert "cuda13" in found.extra


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[CUresult.CUDA_ERROR_OUT_OF_MEMORY] Call to cuMemAlloc failed", "lower training.batch_size"),
        ("[222] Call to cuLinkAddData results in CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "update the driver"),
        ("[35] CUDA_ERROR_INSUFFICIENT_DRIVER", "update the driver"),
        ("[209] CUDA_ERROR_NO_BINARY_FOR_GPU", "update numba-cuda"),
        ("[1] Call to cuLaunchKernel results in CUDA_ERROR_INVALID_VALUE", "the last checkpoint is intact"),
        ("[700] Call to cuMemcpyDtoH results in CUDA_ERROR_ILLEGAL_ADDRESS", "the last checkpoint is intact"),
    ],
)
def test_errors_of_the_driver_say_what_to_do(text, advice):
    class CudaAPIError(Exception):
        pass

    error = trouble.translated(CudaAPIError(text + "\nmore"))
    assert isinstance(error, InputError)
    assert isinstance(error, trouble.DeviceLost) == ("ILLEGAL_ADDRESS" in text)
    line = str(error)
    assert line.startswith("target = 'cuda': ")
    assert advice in line
    assert "\n" not in line


def test_a_driver_older_than_the_packages():
    availability.require_driver((12, 2), (12, 9))  # minor versions of CUDA fit together
    availability.require_driver((13, 0), (12, 9))
    with pytest.raises(InputError, match=r"a driver for CUDA 13 \(this one is for 12\.4\)"):
        availability.require_driver((12, 4), (13, 0))
    error = trouble.translated(type("FunctionNotFoundError", (RuntimeError,), {})("function cuLinkCreate not found"))
    assert isinstance(error, InputError)
    assert "update the driver" in str(error)


def test_the_driver_is_looked_at_before_the_device(monkeypatch):
    monkeypatch.setattr(availability.importlib.metadata, "version", lambda _: "0.30.4")
    monkeypatch.setattr(availability.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(compiler, "versions", lambda: ((12, 4), (13, 0)))
    monkeypatch.setattr(compiler, "describe_device", lambda: pytest.fail("an old driver was asked for its device"))
    found = availability.availability()
    assert not found.usable
    assert found.driver == "12.4"
    assert found.missing == "a driver for CUDA 13 (this one is for 12.4)"


def test_other_errors_stay_what_they_are():
    for error in (ValueError("x"), InputError("y")):
        assert trouble.translated(error) is error


@pytest.mark.parametrize("name", ["CudaSupportError", "NvvmError"])
def test_missing_driver_and_compiler_name_the_extras(name):
    error = trouble.translated(type(name, (Exception,), {})("Error at driver init:\n\nnot found"))
    assert isinstance(error, InputError)
    assert "[cuda13]" in str(error)
    assert "\n" not in str(error)


def test_gpu_checks_fail_without_a_gpu(monkeypatch, capsys):
    from tests import gpu

    missing = availability.Availability(None, None, None, "the package numba-cuda", "pip install 'snnsim[cuda13]'")
    monkeypatch.setattr(availability, "availability", lambda: missing)
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 1
    assert "FAILED: no GPU" in capsys.readouterr().err
