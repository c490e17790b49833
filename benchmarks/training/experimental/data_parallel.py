"""One trial on several devices of one machine: each trains on its share of every minibatch, and the gradients are averaged.

Data parallelism as in Li et al. 2020, arXiv:2006.15704v1, section 2: a loss that is a mean over images has a gradient that is
the mean of those of equal shares. Rank r of R takes every R-th image of the minibatch, from the r-th on, so that a step is the
one of a single device, up to rounding and to the noise that is drawn. A loss that looks at pairs of images has no such shares.

Each device has a fresh process, for a fork takes over neither threads nor CUDA. It is started here and not by Lightning, whose
'ddp' runs the whole command again, and whose 'ddp_spawn' hands tensors over in shared memory, which containers have little of.
What training left comes back in the trial's checkpoint, which rank 0 writes.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from lightning_fabric import seed_everything

from disbench.benchmarks import METHODS
from disbench.benchmarks.plugins.files import load_sources, loaded
from disbench.benchmarks.plugins.registries import Source
from disbench.benchmarks.runtime.failures import classify
from disbench.benchmarks.runtime.machine import Machine, determinism
from disbench.benchmarks.runtime.optional import signals
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.reports.records import Trial

GRACE = 10.0  # seconds that the others have to tell their own error after the first
LOGGERS = (None, "pytorch_lightning", "lightning_fabric")


def check_shares(trial: Trial, machine: Machine) -> None:
    """Raise ValueError where several devices would not train the trial that one device trains."""
    if machine.devices == 1:
        return
    # Of the class itself: a subclass may add a term that looks at pairs of images.
    if not vars(METHODS[trial.method]).get("data_parallel", False):
        able = [name for name, method in METHODS.items() if vars(method).get("data_parallel", False)]
        raise ValueError(
            f"Several devices need a method whose class says `data_parallel = True` of its loss, as {', '.join(able)} do; "
            f"{trial.method} does not, and got devices={machine.devices}. Where a discriminator or an estimate takes the whole "
            "minibatch, shares of it are another trial. Use one device, and run several trials at once."
        )
    if trial.batch_size % machine.devices:
        raise ValueError(
            f"Several devices need equal shares of a minibatch, got batch_size={trial.batch_size} for "
            f"devices={machine.devices}. Use a number of devices that divides it."
        )


class Share(Callback):
    """Gives each process separate noise for its share of a minibatch, and states in the record that there are shares."""

    def __init__(self, trial: Trial) -> None:
        self.names = trial.method, trial.dataset, trial.seed, "training"

    def on_start(self, loop: Loop) -> None:
        # A resumed training puts its own random states back after this.
        seed_everything(seed_for(*self.names, loop.global_rank), verbose=False)
        remark = f"Trained on {loop.world_size} devices, each with its share of every minibatch and noise of its own."
        if remark not in loop.method.remarks:
            loop.method.remarks.append(remark)


def on_each_device(function: Callable[..., object], trial: Trial, machine: Machine, *arguments: object) -> None:
    """Call `function(trial, machine, *arguments)` in a process for each device, as Lightning wants them, and wait for all.

    Raises the error of one of them. Ctrl-C and SIGTERM let every process end its step and write the checkpoint; the second one
    does not wait. Tensors are copied.
    """
    work = pickle.dumps((function, METHODS[trial.method], trial, machine, arguments))
    levels = [logging.getLogger(name).getEffectiveLevel() for name in LOGGERS]
    settings = levels, max(1, torch.get_num_threads() // machine.devices), torch.get_float32_matmul_precision()
    context = multiprocessing.get_context("spawn")
    port = free_port()
    found: dict[Any, BaseProcess] = {}  # by the end of its pipe
    with forwarding_signals(found):
        try:
            for rank in range(machine.devices):
                ours, theirs = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(
                    target=_work, args=(rank, port, settings, loaded(), work, theirs), daemon=True
                )
                process.start()
                theirs.close()  # so that the end of the process is the end of the pipe
                found[ours] = process
            errors = _errors(dict(found))
        finally:
            for process in found.values():
                process.kill()
                process.join()
    if errors:
        raise max(errors, key=lambda error: classify(error) != "error")  # not that another's connection is lost


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _errors(running: dict[Any, BaseProcess]) -> list[BaseException]:
    """Wait for every process, after the first error for GRACE seconds; the errors in the order that they came in."""
    errors: list[BaseException] = []
    while running and (ready := wait(list(running), GRACE if errors else None)):
        connection: Any
        for connection in ready:
            process = running.pop(connection)
            try:
                error = connection.recv()
            except EOFError:
                process.join()
                error = RuntimeError(f"A process on one of several devices ended with exit code {process.exitcode}.")
            if error is not None:
                errors.append(error)
    return errors


@contextmanager
def forwarding_signals(found: dict[Any, BaseProcess]) -> Iterator[None]:
    """Hand the first Ctrl-C or SIGTERM on to the processes, and raise for it when they have ended, whatever they say.

    A signal that has a handler already is left alone, and so is every signal outside the main thread.
    """
    received: list[int] = []

    def forward(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])
        for process in found.values():
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)  # once more is nothing to them, where a terminal sent it to all

    before: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number, handler in before.items() if main and signal.getsignal(number) is handler]
    for number in taken:
        signal.signal(number, forward)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])


def _work(
    rank: int,
    port: int,
    settings: tuple[list[int], int, str],
    plugins: tuple[Source, ...],
    work: bytes,
    connection: Connection,
) -> None:
    """What the process of one device does: it sends None, or the error that it ended with."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A scheduler may send them to all processes of a job; the parent answers.
    for number in signals("SIGUSR1", "SIGUSR2"):
        signal.signal(number, signal.SIG_IGN)
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    levels, threads, precision = settings
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for name, level in zip(LOGGERS, levels, strict=True):
        logging.getLogger(name).setLevel(level if rank == 0 else logging.ERROR)
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    try:
        load_sources(plugins)  # whose classes are in the work
        function, method, trial, machine, arguments = pickle.loads(work)
        METHODS[trial.method] = method  # it may have been added while the parent ran
        with determinism(machine):
            function(trial, machine, *arguments)
    except BaseException as error:  # noqa: BLE001 -- the parent raises it
        connection.send(sendable(error))
    else:
        connection.send(None)


def sendable(error: BaseException) -> BaseException:
    """The error with its traceback as a note, or its words where it cannot be pickled."""
    told = traceback.format_exc()
    try:
        error.add_note(told)
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 -- whatever __reduce__ of somebody's error raises
        return RuntimeError(told)
    return error


def _end_with_parent() -> None:
    """Exit as soon as the parent was killed, so that no process still writes when the trial is run again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
