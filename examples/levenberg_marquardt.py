"""A curve fitted by Levenberg and Marquardt's method, as MATLAB's `newff` example does.

    pip install -e '.[viz]'
    python examples/levenberg_marquardt.py -o levenberg_marquardt.png

The network is that of ``newff(P, T, [20, 1], {'tansig', 'purelin'})``: 20 hidden units with tanh,
one linear output; the goal, a mean squared error of 1e-6 within 500 epochs, is its too. An epoch is
one step on all points. Gradient descent knows which way the error of all points together falls.
This method asks how the error of *each* point changes with each weight, the Jacobian J, and solves
``(J'J + mu I) step = J'error`` for a step that would be right if the network were linear. Where the
step makes things worse, mu grows tenfold and the step becomes short and downhill; where it helps,
mu shrinks. It needs 61 by 61 numbers for 61 weights: fine here, hopeless for a deep network.

The exit status is 0 if the goal is reached, in fewer epochs than Adam is given without reaching it.

Sources: K. Levenberg, 1944; D. Marquardt, 1963; M. Hagan, M. Menhaj, "Training feedforward networks
with the Marquardt algorithm", IEEE Transactions on Neural Networks 5, 1994 (mu and its factors).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np

from pycnn import nn

HIDDEN, EPOCHS, GOAL = 20, 500, 1e-6
#: mu at first, its factors after a step that helps and one that does not, and where to give up.
START, SHRINK, GROW, MOST = 1e-3, 0.1, 10.0, 1e10


def points() -> tuple[np.ndarray, np.ndarray]:
    """One wave and a half, (41, 1) each, in float64."""
    x = np.linspace(-1, 1, 41)[:, None]
    return x, np.sin(1.5 * np.pi * x) * np.exp(-0.5 * x)


def network(hidden: int, seed: int) -> nn.Sequential:
    """tansig is tanh, purelin nothing."""
    with nn.seeded(seed):
        return nn.Sequential(
            hidden=nn.Linear(1, hidden, init="xavier_normal", dtype="float64"),
            tansig=nn.Tanh(),
            purelin=nn.Linear(hidden, 1, init="xavier_normal", dtype="float64"),
        )


def weights(model: nn.Layer) -> np.ndarray:
    """All weights and biases in one row (W,)."""
    return np.concatenate([p.value.ravel() for p in model.parameters()])


def put(model: nn.Layer, row: np.ndarray) -> None:
    """Give a model the weights of a row."""
    for parameter in model.parameters():
        value, row = row[: parameter.value.size], row[parameter.value.size :]
        parameter.value[...] = value.reshape(parameter.value.shape)


def jacobian(model: nn.Layer, x: np.ndarray) -> np.ndarray:
    """How the result of every example changes with every weight, (N, W): N passes back."""
    rows = []
    for i in range(len(x)):
        model.zero_grad()
        y = model.forward(x[i : i + 1])
        model.backward(np.ones_like(y), needs_dx=False)
        rows.append(np.concatenate([np.ravel(p.grad) for p in model.parameters()]))
    return np.array(rows)


def levenberg_marquardt(
    model: nn.Layer, x: np.ndarray, target: np.ndarray, epochs: int, goal: float
) -> list[float]:
    """Train until `goal`, or no step helps; mean squared errors at first and after each epoch."""
    now, mu = weights(model), START
    errors = [mean_square(model, x, target)]
    while len(errors) <= epochs and errors[-1] > goal and mu < MOST:
        j, wrong = jacobian(model, x), (target - model(x)).ravel()
        squared, downhill = j.T @ j, j.T @ wrong
        while mu < MOST:
            step = np.linalg.solve(squared + mu * np.eye(len(now)), downhill)
            put(model, now + step)
            error = mean_square(model, x, target)
            if error < errors[-1]:
                now, mu = now + step, mu * SHRINK
                errors.append(error)
                break
            mu *= GROW
    put(model, now)
    return errors


def adam(model: nn.Layer, x: np.ndarray, target: np.ndarray, epochs: int) -> list[float]:
    """The same by Adam, on all points at once."""
    loss, optimizer = nn.MSELoss(), nn.Adam(model, lr=1e-2)
    errors = [mean_square(model, x, target)]
    for _ in range(epochs):
        loss.forward(model.forward(x), target)
        model.zero_grad()
        model.backward(loss.backward(), needs_dx=False)
        optimizer.step()
        errors.append(mean_square(model, x, target))
    return errors


def mean_square(model: nn.Layer, x: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean((model(x) - target) ** 2))


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(__doc__, "levenberg_marquardt.png")
    for name, default, what in (("hidden", HIDDEN, "units"), ("epochs", EPOCHS, "at most")):
        parser.add_argument(f"--{name}", type=common.whole(1), default=default,
                            help=f"{what} (default: {default})")  # fmt: skip
    parser.add_argument("--goal", type=common.above_zero, default=GOAL, help=f"(default: {GOAL})")
    return common.status(example, parser.parse_args(argv))


def example(given: argparse.Namespace) -> bool:
    """Fit by both, print and draw."""
    x, target = points()
    fitted, other = (network(given.hidden, given.seed) for _ in range(2))
    errors = {
        "Levenberg-Marquardt": levenberg_marquardt(fitted, x, target, given.epochs, given.goal),
        "Adam": adam(other, x, target, given.epochs),
    }
    for name, values in errors.items():
        print(f"{name:<20} mean squared error {values[0]:.3f} to {values[-1]:.2g} "
              f"in {len(values) - 1} epochs")  # fmt: skip
    draw(fitted, errors, given.goal, given.output)
    reached = {name: values[-1] <= given.goal for name, values in errors.items()}
    return reached["Levenberg-Marquardt"] and not reached["Adam"]


def draw(model: nn.Layer, errors: dict[str, list[float]], goal: float, path: Path) -> None:
    """The points with the curve through them, and how the errors fell."""
    figure = common.figure(9, 3.4)
    curve, falling = figure.subplots(1, 2)
    x, target = points()
    fine = np.linspace(-1, 1, 400)[:, None]
    curve.plot(fine, model(fine), color=common.BLUE, label="the network")
    curve.plot(x, target, ".", color=common.ORANGE, label="what it was shown")
    curve.legend(frameon=False, fontsize=9)
    common.plain(curve, "20 hidden units, by Levenberg-Marquardt", xlabel="x")
    for (name, values), colour in zip(errors.items(), (common.BLUE, common.GREEN), strict=True):
        falling.loglog(range(1, len(values) + 1), values, color=colour, label=name)
    falling.axhline(goal, color=common.GREY, ls="--", label="goal")
    falling.legend(frameon=False, fontsize=9)
    common.plain(falling, "Mean squared error", xlabel="epoch")
    common.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
