"""``retouch doctor``: what is asked most of a run that does not learn, answered before it begins."""

from collections.abc import Callable

from . import doctor_amounts, doctor_learning, doctor_sampler
from .doctor_case import Case, Finding
from .plan import Plan
from .train import Training, experience

CHECKS = (*doctor_learning.CHECKS, *doctor_sampler.CHECKS, *doctor_amounts.CHECKS)


def diagnose(plan: Plan, tell: Callable[[str], None] = lambda name: None) -> list[Finding]:
    """Play one rollout of the run that ``plan`` describes and examine it; ``tell`` hears of every check."""
    tell("playing a rollout")
    training = Training.begin(plan)
    (rollout,) = experience(training, plan.run.rollout, 1)
    return examine(Case(plan, training.env.task, training.agent, rollout), tell)


def examine(case: Case, tell: Callable[[str], None] = lambda name: None) -> list[Finding]:
    """The finding of every check; ``case`` stays as it is."""
    findings = []
    for check in CHECKS:
        tell(check.name)
        findings.append(check(case))
    return findings
