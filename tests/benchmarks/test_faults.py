"""What goes wrong with a trial is a record that says what to do; a full disk leaves neither a record nor half a file."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_trial import tiny_trial

from disbench.baselines.gaussian import Posterior
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.failures import classify, disk_full_as_one_error
from disbench.benchmarks.runtime.machine import Machine, determinism
from disbench.benchmarks.studies.status import states
from disbench.benchmarks.training.checkpoint import RESUME
from disbench.benchmarks.training.position import position
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.trial import CHECKPOINT, run_trial
from disbench.datasets import load
from disbench.reports.records import RECORD_FILE, Record, Trial, read_record, write_record

METRICS = {"mig": {"bins": 20}, "irs": {}}
STEPS = 8
OFTEN = Machine(checkpoint_seconds=1e-9)


class Failing(VAE):
    """A VAE whose fifth step does something else; `fixed` mends it."""

    fixed = False

    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        terms = super().training_step(batch, batch_idx)
        if batch_idx == 4 and not type(self).fixed:
            terms["loss"] = self.fail(terms["loss"])
        return terms


class NotANumber(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * torch.nan


class Exploding(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * 1e12


class Greedy(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        return loss + torch.empty(1 << 50)[0]


class OnAnAccelerator(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


class InALibraryOfCuda(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


class InNumpy(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        return loss + np.zeros(1 << 50)[0]


class Unmapped(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


class Mistaken(Failing):
    def fail(self, loss: torch.Tensor) -> torch.Tensor:
        raise TypeError("a mistake in the method")


class LosesItsCodes(VAE):
    def posterior(self, x: torch.Tensor) -> Posterior:
        q = super().posterior(x)
        return q if self.training else Posterior(q.mean * torch.nan, q.logvar)


FAULTS = {
    NotANumber: ("diverged", "loss is nan at step 5"),
    Exploding: ("diverged", "the run diverged"),
    LosesItsCodes: ("diverged", "codes are not finite"),
    Greedy: ("out of memory", "try a smaller batch_size"),
    OnAnAccelerator: ("out of memory", "precision bf16-mixed"),
    InALibraryOfCuda: ("out of memory", "try a smaller batch_size"),
    InNumpy: ("out of memory", "try a smaller batch_size"),
    Unmapped: ("out of memory", "try a smaller batch_size"),
    Mistaken: ("error", "TypeError: a mistake in the method"),
}


@pytest.fixture(autouse=True)
def few_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 20)


def small_trial(method: str = "vae", **changes: object) -> Trial:
    return tiny_trial(method, **{"steps": STEPS, **changes})


def run(trial: Trial, out: Path, **options: object) -> Record:
    return run_trial(trial, load(trial.dataset, **trial.dataset_options), out, METRICS, **options)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_a_record_with_its_kind_and_words(
    fault: type[VAE], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "faulty", fault)
    record = run(small_trial("faulty"), tmp_path, machine=OFTEN)
    kind, words = FAULTS[fault]
    assert (record.status, record.failure) == ("failed", kind)
    assert words in record.error
    assert read_record(tmp_path / record.trial.id / RECORD_FILE) == record


@pytest.mark.parametrize(("fault", "resumed"), [(Mistaken, []), (NotANumber, []), (Greedy, [4])])
def test_a_failed_trial_is_run_again_from_its_checkpoint_only_where_memory_was_short(
    fault: type[Failing], resumed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "faulty", fault)
    trial = small_trial("faulty")
    assert run(trial, tmp_path, machine=OFTEN).status == "failed"
    assert (tmp_path / trial.id / RESUME).exists() == bool(resumed)
    monkeypatch.setattr(fault, "fixed", True)
    record = run(trial, tmp_path)
    assert (record.status, record.failure, record.error) == ("ok", None, None)
    assert record.resumed_at == resumed
    assert position(tmp_path / trial.id) is None


def test_kinds_are_seen_through_the_errors_raised_from_them() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as error:
        assert classify(error) == "disk full"
    assert classify(OSError(errno.EDQUOT, "quota")) == "disk full"
    assert classify(OSError("write failed: errno = 28, error message = 'No space left on device'")) == "disk full"
    assert classify(OSError(errno.EACCES, "denied")) == "error"
    assert classify(MemoryError()) == "out of memory"
    assert classify(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")) == "out of memory"
    assert classify(RuntimeError("CUDA error: an illegal memory access was encountered")) == "error"


def test_other_errors_pass_through_the_watch_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_full_as_one_error(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


def test_a_record_tells_time_memory_speed_and_switches(tmp_path: Path) -> None:
    record = run(small_trial(), tmp_path)
    assert set(record.seconds) == set(record.cpu_seconds) == {"train", "encode", "score", "decode"}
    assert record.images_per_second > 0
    assert 1e7 < record.peak_memory["resident"] < 1e12
    assert ("cuda" in record.peak_memory) == torch.cuda.is_available()
    assert {"torchvision", "torchmetrics", "deterministic", "cudnn_benchmark"} <= set(record.environment)
    assert record.environment["deterministic"] is False


def test_a_trial_can_be_held_to_repeatable_algorithms_and_the_next_is_not(tmp_path: Path) -> None:
    record = run(small_trial(), tmp_path, machine=Machine(deterministic=True))
    assert record.status == "ok", record.error
    assert record.environment["deterministic"] is True
    assert not torch.are_deterministic_algorithms_enabled()
    with determinism(Machine(deterministic=True)):
        assert torch.are_deterministic_algorithms_enabled()


def test_a_checkpoint_each_no_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="checkpoint_seconds must be above 0, got 0"):
        Machine(checkpoint_seconds=0)


def test_the_reproducing_command_names_the_folder_of_the_data(tmp_path: Path) -> None:
    record = run(small_trial(steps=1), tmp_path, root="/data/of mine")
    assert "--data-dir '/data/of mine' --out" in record.command
    assert "--data-dir" not in run(small_trial(steps=2), tmp_path).command


def everything(folder: Path) -> dict[str, object]:
    record = read_record(folder / RECORD_FILE)
    return record.model_dump(include={"views", "floor", "ceiling", "curves", "reconstruction"})


def no_half_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if name.startswith(".") and name != ".lock"], names
    for name in {CHECKPOINT, RESUME} & names:
        torch.load(folder / name, weights_only=True)
    assert RECORD_FILE not in names


def test_a_file_that_may_not_grow_stops_the_trial_without_a_record_and_it_goes_on_later(tmp_path: Path) -> None:
    trial = small_trial()
    whole = run(trial, tmp_path / "whole")
    biggest = (tmp_path / "whole" / trial.id / CHECKPOINT).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (biggest // 2, before[1]))
        with pytest.raises(OSError, match="Make room and run the same command again") as raised:
            run(trial, tmp_path, machine=OFTEN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.ENOSPC
    no_half_files(tmp_path / trial.id)
    assert run(trial, tmp_path).scores == whole.scores


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[], None]]:
    """A disk of `size` bytes over `place`; gives what makes room on it. For a process that may mount."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
    finally:
        subprocess.run(["umount", place], check=True)


def ends_for_want_of_room(trial: Trial, disk: Path, **options: object) -> bool:
    """Whether the trial found the disk full; then it said so and left nothing half written."""
    try:
        run(trial, disk, **options)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        assert "Make room" in str(error), error
        no_half_files(disk / trial.id)
        return True
    return False


# Before each script: `trial`, run to its end in `alone`, and the size of a page of memory, in which small disks are counted.
ON_A_SMALL_DISK = """
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
sys.path[:0] = {tests!r}
import test_faults as t
import torch
torch.set_num_threads(1)
t.trial_module.IMAGES = 20
disk, alone = Path(sys.argv[1]), Path(sys.argv[2])
trial, page = t.small_trial(), 4096
t.run(trial, alone)
pages = {{path.name: -(-path.stat().st_size // page) for path in (alone / trial.id).iterdir()}}
"""

FULL_DISK = """
fits = 0
# In the order in which they are written; each disk has no room for the next one.
for name in ["model.ckpt", "codes.h5", "traversal.png", "reconstructions.png", "record.json"]:
    for room in (fits, fits + pages[name] // 2):  # hardly a byte of it fits; half of it does
        with t.small_disk(disk, max(1, room) * page) as make_room:
            assert t.ends_for_want_of_room(trial, disk), name
            make_room()
            t.run(trial, disk)
            assert t.everything(disk / trial.id) == t.everything(alone / trial.id), name
        print("full at", name, flush=True)
    fits += pages[name]
"""


# Checkpoints at every step: each disk has room for half a one, for one and not the file beside it, for both, for two, ...
FULL_IN_TRAINING = """
import logging
from disbench.benchmarks.training.checkpoint import RESUME
from disbench.benchmarks.training.position import POSITION
whole = pages[t.CHECKPOINT]
kept = set()
told = []
log = logging.getLogger("disbench.benchmarks.training.checkpoint")
log.addFilter(lambda record: told.append(record.getMessage()) or True)
for room in [whole // 2, *range(whole - 1, whole + 4), *range(2 * whole - 1, 2 * whole + 4)]:
    with t.small_disk(disk, room * page) as make_room:
        if t.ends_for_want_of_room(trial, disk, machine=t.OFTEN):
            assert room > whole + 3 or f"step {{t.STEPS - 1}} is left out" in told[-1], told
            left = {{path.name for path in (disk / trial.id).iterdir()}}
            kept.add(" ".join(name for name in (RESUME, POSITION) if name in left) or "nothing")
            make_room()
            assert bool(t.run(trial, disk).resumed_at) == (RESUME in left)
        else:
            kept.add("all")
        assert t.everything(disk / trial.id) == t.everything(alone / trial.id), room
print(*sorted(kept), sep=", ")
"""


def on_small_disks(script: str, tmp_path: Path) -> str:
    """What a script prints that may mount small disks over its first argument."""
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        shutil.which("unshare") is None
        or subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine gives a user no small disk of his own")
    here = Path(__file__).parent
    code = (ON_A_SMALL_DISK + script).format(tests=[str(here), str(here.parent / "layouts")])
    words = [*own, sys.executable, "-c", code, disk, tmp_path / "alone"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    return ended.stdout


def test_a_disk_that_is_full_at_any_write_leaves_no_record_and_no_half_file(tmp_path: Path) -> None:
    assert on_small_disks(FULL_DISK, tmp_path).count("full at") == 10


def test_a_disk_that_is_full_while_checkpoints_are_written_keeps_the_last_that_fits(tmp_path: Path) -> None:
    assert on_small_disks(FULL_IN_TRAINING, tmp_path) == "all, nothing, resume.ckpt, resume.ckpt position.json\n"


def test_a_trial_without_its_defaults_is_the_trial_with_them(tmp_path: Path) -> None:
    full = small_trial(steps=1, rows=50)
    bare = full.model_copy(update={"hparams": {"network": "mlp", "hidden_dim": 16}, "precision": "32"})
    assert bare.id != full.id
    record = run(bare, tmp_path)
    assert record.trial == full
    assert [path.name for path in tmp_path.iterdir()] == [full.id]


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["codes.h5", "model.ckpt", "record.json", "trial.json", "traversal.png"])
def test_what_is_no_file_of_a_trial_is_kept_aside_and_never_written_into(what: str, name: str, tmp_path: Path) -> None:
    trial = small_trial(steps=1, rows=50)
    place = tmp_path / "runs" / trial.id / name
    place.parent.mkdir(parents=True)
    elsewhere = tmp_path / "somebody's"
    elsewhere.write_text("precious")
    {"link": lambda: place.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir}[what]()
    record = run(trial, tmp_path / "runs")
    assert record.status == "ok", record.error
    assert elsewhere.read_text() == "precious"
    kept = {path.name for path in place.parent.iterdir() if path.name.startswith(name) and path.name != name}
    assert len(kept) == 1
    assert name == "trial.json" or place.lstat().st_size > 0


def test_codes_that_are_not_finite_are_made_anew(tmp_path: Path) -> None:
    trial = small_trial(steps=1, rows=50)
    run(trial, tmp_path)
    with h5py.File(tmp_path / trial.id / "codes.h5", "a") as file:
        file["codes"][0, 0] = float("nan")
    record = run_trial(trial, load(trial.dataset, **trial.dataset_options), tmp_path, {"mig": {"bins": 10}})
    assert record.status == "ok", record.error
    assert record.metric_options == {"mig": {"bins": 10}}


def test_a_failed_trial_that_is_run_again_and_stopped_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = small_trial(steps=1, rows=50)
    write_record(Record(trial=trial, status="failed", error="ValueError: once"), tmp_path / trial.id)
    assert [state.state for state in states(tmp_path)] == ["failed"]

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(trial, tmp_path)
    assert [state.state for state in states(tmp_path)] == ["stopped"]
    run(trial, tmp_path)
    assert [state.state for state in states(tmp_path)] == ["finished"]
