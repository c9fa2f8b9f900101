"""The closed loop: train, sample, measure, fit, search, measure what was found, recalibrate, until prediction and target agree."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hilnas.boards.board import load_board
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.fleet import set_aside
from hilnas.hil.loop.budgeting import choose_budget
from hilnas.hil.loop.configuration import LoopConfiguration
from hilnas.hil.loop.memory_predictor import MemoryNeeds, MemoryPlanner
from hilnas.hil.loop.nets import NetRecord, NetTask, accuracy_of, describe, evaluate_net, memory_of
from hilnas.hil.loop.proposals import propose
from hilnas.hil.loop.recalibrate import FirstNets, Rows, latency_error, measured_metrics, new_predictor, rows
from hilnas.hil.loop.report import write_report
from hilnas.hil.loop.result import BudgetResult, CandidateResult, Figures, HeldOut, LatencyError, LoopResult, RoundResult, figures
from hilnas.hil.loop.run_folder import RESULT_NAME, SELECTION_NAME, RunFolder
from hilnas.hil.loop.workers import Workers
from hilnas.hil.targets import check_board, create_target
from hilnas.nas.data import load_data
from hilnas.nas.metrics import Budget, Estimate
from hilnas.nas.predictors.joint import JointPredictor
from hilnas.nas.searches.memory import Seen
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.mcu_network import smallest
from hilnas.nas.threads import one_thread
from hilnas.nas.training import Recipe, space_for, train
from hilnas.progress import progress
from hilnas.quantities import kilobytes, milliseconds
from hilnas.tflite.exits import FINAL_OUTPUT

_RANDOM_NETS = 500
_SHOWN_RANDOM_NETS = 300

# One stream of random numbers for each purpose, so that no part's draws depend on another's.
_FIRST, _TRAINED, _RANDOM, _EXPLORED, _SEARCHED = range(5)


@dataclass(frozen=True)
class Proposals:
    """What a round measures: candidates with what was predicted of them, and random nets beside them."""

    candidates: Rows
    predicted: tuple[Figures, ...]
    explored: Rows


@dataclass(frozen=True)
class Accuracies:
    """Random nets and the accuracy of each on the validation split, float."""

    nets: Rows
    accuracy: tuple[float, ...]


class Judge:
    """The held-out nets: asks a predictor about them, never tells it of them."""

    def __init__(self, held_out: Sequence[NetRecord]) -> None:
        self._nets = rows(held_out)
        self._measured = tuple(record.latency_s for record in held_out)
        self._answers: list[tuple[float, ...]] = []

    def ask(self, predictor: JointPredictor) -> LatencyError:
        """The error of what the predictor says now."""
        self._answers.append(tuple(map(float, predictor.predict(self._nets).latency_s.mean)))
        return latency_error(self._answers[-1], self._measured)

    @property
    def held_out(self) -> HeldOut:
        """As measured, by the first answer, by the last."""
        return HeldOut(self._measured, self._answers[0], self._answers[-1])


class Loop:
    """One run in its folder. A step that is recorded there is read, not done again: a run goes on from wherever it was."""

    def __init__(self, folder: RunFolder, workers: Workers, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.workers = workers
        self.say = say
        self.configuration = folder.description().configuration
        self.stopwatch = folder.stopwatch()
        self.space = space_for(load_data(self.configuration.data))

    def run(self) -> LoopResult:
        """Does every step that is left, and records the result."""
        with self.stopwatch.stage("train the supernet"):
            self._train()
        with self.stopwatch.stage("measure the first nets"):
            first = self.folder.once("first_nets", FirstNets, self._draw_first_nets)
            records = self._measure("the first nets", (*first.fitted, *first.held_out))
        fitted, held_out = records[: len(first.fitted)], records[len(first.fitted) :]
        with self.stopwatch.stage("fit the predictors"):
            predictor = self._first_fit(fitted)
            judge = Judge(held_out)
            first_fit_error = judge.ask(predictor)
            random_nets = predictor.predict(self._draw(_RANDOM, _RANDOM_NETS))
            budget = self.folder.once("budget", BudgetResult, lambda: choose_budget(random_nets, self.configuration.limits))
        self.say(f"first fit on {len(fitted)} nets: latency error {first_fit_error.mean:.2%} on {len(held_out)} held-out nets")
        self.say(f"budget: {_described(budget)}")

        rounds: list[RoundResult] = []
        while len(rounds) < self.configuration.rounds and not (rounds and _is_done(rounds[-1], first_fit_error)):
            rounds.append(self._round(len(rounds) + 1, predictor, budget.budget, records, judge))
        result = LoopResult(
            board=self.configuration.board,
            target=self.configuration.target,
            data=self.configuration.data,
            seed=self.configuration.seed,
            budget=budget,
            fitted_on=len(fitted),
            first_fit_error=first_fit_error,
            rounds=tuple(rounds),
            best=_best(rounds, budget.budget).name,
            held_out=judge.held_out,
            random_nets=figures(random_nets)[:_SHOWN_RANDOM_NETS],
        )
        self.folder.write(RESULT_NAME, LoopResult, result)
        return result

    def _round(self, number: int, predictor: JointPredictor, budget: Budget, records: list[NetRecord], judge: Judge) -> RoundResult:
        """Searches, measures what was found, recalibrates. Adds to `records` what was measured."""
        with self.stopwatch.stage(f"round {number}: search"):
            proposals = self.folder.once(
                f"round_{number}_proposals", Proposals, lambda: self._propose(number, predictor, budget, rows(records))
            )
        with self.stopwatch.stage(f"round {number}: build and measure"):
            nets = (*proposals.candidates, *proposals.explored)
            new = self._measure(f"the nets of round {number}", nets, proposals.candidates)
        with self.stopwatch.stage(f"round {number}: recalibrate"):
            predictor.update(rows(new), measured_metrics(new))
            held_out_error = judge.ask(predictor)
        records.extend(new)
        measured = new[: len(proposals.candidates)]
        result = RoundResult(
            number=number,
            candidates=tuple(self._candidate(*pair, budget) for pair in zip(measured, proposals.predicted, strict=True)),
            explored=len(proposals.explored),
            candidate_error=latency_error([one.latency_s for one in proposals.predicted], [one.latency_s for one in measured]),
            held_out_error=held_out_error,
        )
        self.say(
            f"round {number}: latency error {result.candidate_error.mean:.2%} on its {len(measured)} candidates (worst "
            f"{result.candidate_error.worst:.2%}); {result.held_out_error.mean:.2%} on the held-out nets after recalibrating"
        )
        return result

    def _train(self) -> None:
        asked = self.configuration
        train(self.space, asked.data, Recipe(epochs=asked.epochs, seed=asked.seed), self.folder.supernet_path)

    def _measure(self, what: str, nets: Rows, candidates: Rows = ()) -> list[NetRecord]:
        """Builds and measures nets in the workers; what was measured before is read. `candidates` are also run over the test images."""
        tasks = self._tasks(nets, candidates)
        with progress(f"building and measuring {what}", len(tasks)) as advance:
            return self.workers.map(evaluate_net, tasks, advance)

    def _accuracies(self) -> Accuracies:
        nets = _recorded(self._draw(_TRAINED, self.configuration.trained_accuracies))
        with progress("accuracy of random nets", len(nets)) as advance:
            return Accuracies(nets, tuple(self.workers.map(accuracy_of, self._tasks(nets), advance)))

    def _plan_memory(self, nets: Architectures) -> list[MemoryNeeds]:
        return self.workers.map(memory_of, self._tasks(_recorded(nets)))

    def _tasks(self, nets: Rows, candidates: Rows = ()) -> list[NetTask]:
        return [NetTask(self.folder.path, net, net in candidates) for net in nets]

    def _candidate(self, measured: NetRecord, predicted: Figures, budget: Budget) -> CandidateResult:
        exits = measured.exits
        assert exits is not None and exits.accuracy is not None and exits.expected_latency_s is not None
        return CandidateResult(
            name=measured.name,
            architecture=measured.architecture,
            description=describe(self.space, measured.architecture),
            predicted=predicted,
            measured=Figures(exits.accuracy, measured.latency_s, measured.flash_bytes, measured.sram_bytes),
            float_accuracy=measured.test_accuracy,
            expected_latency_s=exits.expected_latency_s,
            exit_names=(*(f"exit_{index}" for index in range(len(exits.counts) - 1)), FINAL_OUTPUT),
            exit_rates=tuple(count / sum(exits.counts) for count in exits.counts),
            meets_budget=bool(budget.is_met(measured_metrics([measured]))[0]),
        )

    def _first_fit(self, fitted: Sequence[NetRecord]) -> JointPredictor:
        predictor = new_predictor(self.space, MemoryPlanner(self.space, self._plan_memory), self.configuration.seed)
        trained = self.folder.once("accuracies", Accuracies, self._accuracies)
        predictor.accuracy.update(np.array(trained.nets, dtype=np.int64), Estimate.exact(trained.accuracy))
        predictor.update(rows(fitted), measured_metrics(fitted))
        return predictor

    def _propose(self, number: int, predictor: JointPredictor, budget: Budget, known: Architectures) -> Proposals:
        asked = self.configuration
        seed = int(self._rng(_SEARCHED, number).integers(2**31))
        nets, metrics = propose(self.space, predictor, budget, known, asked.proposals, asked.evaluations, seed)
        explored = self._draw(_EXPLORED, asked.explored, np.concatenate([known, nets]), number)
        return Proposals(_recorded(nets), figures(metrics), _recorded(explored))

    def _draw_first_nets(self) -> FirstNets:
        asked = self.configuration
        drawn = self._draw(_FIRST, asked.first_nets + asked.held_out)
        fitted, held_out = drawn[: asked.first_nets], drawn[asked.first_nets :]
        # One without exits, one with nothing optional: code that not every image has is seen missing.
        fitted[1, self.space.layout.exit_active] = 0
        fitted[0] = smallest(self.space)
        return FirstNets(_recorded(self.space.canonical(fitted)), _recorded(held_out))

    def _draw(self, purpose: int, count: int, known: Architectures | None = None, number: int = 0) -> Architectures:
        """Random nets, none twice and none of the `known` ones."""
        rng = self._rng(purpose, number)
        seen = Seen(self.space)
        if known is not None:
            seen.add(known)
        return seen.draw_unseen(count, lambda missing: self.space.sample(missing, rng))

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.configuration.seed, purpose, number])


def start_run(folder: RunFolder, configuration: LoopConfiguration, selection: BoardSelection | None = None) -> None:
    """Checks what is asked and records it; `resume_run` then does it.

    Raises:
        InputError: unknown data or board, a target that the board does not run on, or the folder holds a run already.
        ConnectError: the boards that are meant are not there.
        StoreError: the disk refused.
    """
    board = load_board(configuration.board)
    check_board(configuration.target, board.name, board.targets)
    create_target(configuration.target, selection)
    space_for(load_data(configuration.data))
    folder.create(configuration)


def resume_run(folder: RunFolder, workers: int, say: Callable[[str], None], selection: BoardSelection | None = None) -> LoopResult:
    """Does all that is left of a run and writes its report. `say` gets a line about each finished part, and about each board that was set
    aside. `selection` says which boards measure, where the target has boards.

    Raises:
        InputError: the folder holds no run, or another process works on it.
        BudgetError: the search finds nothing that meets the budget.
        BuildError: an export or a build failed, or a worker died.
        ConnectError, TargetError: no board is left.
        StoreError: the disk refused.
    """
    target = folder.description().configuration.target
    with folder.locked():
        selection = replace(selection or BoardSelection(), aside=folder.boards_path)
        create_target(target, selection)
        shutil.rmtree(folder.boards_path, ignore_errors=True)
        folder.write(SELECTION_NAME, BoardSelection, selection)
        try:
            with one_thread(), Workers(workers, folder.path / "workers.log") as pool:
                result = Loop(folder, pool, say).run()
        finally:
            for reason in set_aside(folder.boards_path):
                say(f"set aside: board {reason}")
        write_report(folder)
    return result


def _recorded(nets: Architectures) -> Rows:
    return tuple(tuple(map(int, net)) for net in nets)


def _is_done(last: RoundResult, first_fit: LatencyError) -> bool:
    """Whether to stop: the last candidates came out as predicted, and on nets in general predictions are better than at first."""
    return last.agreed and last.held_out_error.mean < first_fit.mean


def _best(rounds: Sequence[RoundResult], budget: Budget) -> CandidateResult:
    """The most accurate candidate whose measurements meet the budget, the faster of equals; if none does, the nearest."""
    candidates = [candidate for one in rounds for candidate in one.candidates]
    meeting = [candidate for candidate in candidates if candidate.meets_budget]
    if meeting:
        return min(meeting, key=lambda one: (-one.measured.accuracy, one.measured.latency_s))
    return min(
        candidates, key=lambda one: sum(max(0.0, getattr(one.measured, name) / limit - 1) for name, limit in budget.limits().items())
    )


def _described(result: BudgetResult) -> str:
    limits = result.budget
    shares = result.excluded
    parts = []
    if limits.latency_s is not None:
        parts.append(f"latency {milliseconds(limits.latency_s)} (excludes {shares['latency_s']:.0%} of random nets)")
    if limits.flash_bytes is not None:
        parts.append(f"flash {kilobytes(limits.flash_bytes)} ({shares['flash_bytes']:.0%})")
    if limits.sram_bytes is not None:
        parts.append(f"SRAM {kilobytes(limits.sram_bytes)} ({shares['sram_bytes']:.0%})")
    return ", ".join(parts)
