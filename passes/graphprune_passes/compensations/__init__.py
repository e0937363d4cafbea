"""Compensations: new values for the weights that remain (methods are in `graphprune.compensate`)."""

from __future__ import annotations

from graphprune.compensate.reconstruct import reconstruct
from graphprune.compensate.sequential import How, repair
from graphprune.compensate.whole import fit_whole
from graphprune.passes import CompensationProblem, Repair
from graphprune_passes.compensations import batch_norm


def none(problem: CompensationProblem) -> Repair:
    """Leave the weights as they are."""
    return Repair()


def _run(problem: CompensationProblem, how: How) -> Repair:
    return repair(problem.model, problem.analysis, problem.keeps, problem.batches, how, problem.say)


def refit(problem: CompensationProblem) -> Repair:
    """Refit weights and biases, front to back, to what the original gave, residual streams included.

    The least-squares update of OB2C with the target of ThiNet and He et al. (both ICCV 2017); the default.
    """
    return _run(problem, How(budget=problem.budget, seed=problem.seed))


def refit_blocks(problem: CompensationProblem) -> Repair:
    """Refit front to back, then let the operators before each refitted one move as well; the default.

    The refit, on top of it block reconstruction (AdaRound, ICML 2020; BRECQ, ICLR 2021), and where a model is
    small enough all weights on its outputs (Hinton et al., 2015); that alone where data choose what runs.
    """
    if problem.chosen:
        return fit_whole(problem, Repair())
    found = refit(problem)
    found.weights |= reconstruct(problem, found).weights
    found.weights |= fit_whole(problem, found).weights
    return found


def refit_dense(problem: CompensationProblem) -> Repair:
    """Refit to the original's output operator by operator, without making up for other branches."""
    how = How(across=False, everything=False, budget=problem.budget, seed=problem.seed)
    return _run(problem, how)


def refit_covariance(problem: CompensationProblem) -> Repair:
    """Refit on the original's own activations with covariance and bias (OB2C)."""
    how = How(original_inputs=True, across=False, everything=False, budget=problem.budget, seed=problem.seed)
    return _run(problem, how)


def refit_moment(problem: CompensationProblem) -> Repair:
    """Refit with second moments, no bias: block OBS, the update of OBSPA, ZipLM and OSSCAR."""
    how = How(
        original_inputs=True,
        centred=False,
        across=False,
        everything=False,
        budget=problem.budget,
        seed=problem.seed,
    )
    return _run(problem, how)


def bias(problem: CompensationProblem) -> Repair:
    """Move the mean of what was removed into the bias (FLAP, VBP)."""
    how = How(
        original_inputs=True, weights=False, across=False, everything=False, budget=problem.budget,
        seed=problem.seed,
    )  # fmt: skip
    return _run(problem, how)


def scale(problem: CompensationProblem) -> Repair:
    """Scale the columns that remain, by least squares (the mask tuning of Kwon et al., NeurIPS 2022)."""
    how = How(
        original_inputs=True,
        centred=False,
        scale_only=True,
        across=False,
        everything=False,
        budget=problem.budget,
        seed=problem.seed,
    )
    return _run(problem, how)


def refit_moment_bn(problem: CompensationProblem) -> Repair:
    """Refit with second moments, then estimate batch normalisation again (OBSPA with real inputs)."""
    found = refit_moment(problem)
    found.weights |= batch_norm.estimated(problem, found.weights)
    return found
