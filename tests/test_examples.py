"""The examples and the README's code run without a warning, and those of recommenders and agents show what is true."""

import pathlib
import re
import runpy
import time

import numpy as np
import pytest

pytest.importorskip("matplotlib")

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Return a function that runs an example as a script, in a folder of its own, and returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def rows(text):
    """Return (label, numbers) of each line that ends in a row of numbers."""
    found = [re.fullmatch(r"(.*?)\s+((?:\d*\.\d+\s*)+)", line) for line in text.splitlines()]
    return [(match[1], [float(number) for number in match[2].split()]) for match in found if match]


@pytest.mark.parametrize(
    "name",
    ["adaboost_margins", "bag_of_pipelines", "forest_intervals", "names", "odd_words", "what_a_network_sees"],
)
def test_example_runs(run, name):
    assert run(name)


def test_what_a_prompt_says_decides(run):
    text = run("in_context")
    assert re.findall(r": ([+-])   p", text) == ["+", "-"]
    guessed, told = map(float, re.findall(r": (\d\.\d\d) right", text))
    assert guessed < 0.8 < told


def test_search_over_recommenders_orders_them_by_error(run):
    *found, (last, noise) = rows(run("recommender_search"))
    errors = [numbers[0] for _, numbers in found]
    assert last == "the noise alone"
    assert errors == sorted(errors)
    assert noise[0] < errors[0] < 1.5 * noise[0]
    assert {label.partition("(")[0] for label, _ in found} == {
        "MatrixFactorization",
        "NeighborhoodFilter",
        "ContentFilter",
    }


def test_cold_start_gets_better_with_what_is_known(run):
    found = rows(run("cold_start"))
    people = [numbers for _, numbers in found if len(numbers) > 1]
    assert len(people) == 3
    for errors in people:
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < errors[0] / 1.8
    biases, *attributes = [numbers[0] for _, numbers in found if len(numbers) == 1]
    assert max(attributes) < biases / 1.5


def test_recommended_dishes_have_the_tastes_that_guests_like(run):
    likes = {"Ann": "sweet", "Bob": "hot", "Cid": "smoky"}
    found = re.findall(r"^(\w+): .* \[(.*)\]", run("recommendations_explained"), re.MULTILINE)
    assert len(found) == 18
    assert all(likes[guest] in tastes.split() for guest, tastes in found)


def test_tour_of_recommendation(tmp_path):
    def timed(fit):
        start = time.perf_counter()
        return fit(), time.perf_counter() - start

    stop = runpy.run_path(str(ROOT / "examples" / "tour_recommendation.py"))
    for _, _, ours, _, peer, _ in stop["visit"](tmp_path, timed):
        assert stop["NOISE"] < ours < peer
    assert (tmp_path / "recommendation.png").stat().st_size > 1000


def test_search_over_networks_prints_the_best_first(run):
    text = run("cnn_search")
    found = [float(score) for score in re.findall(r"^(0\.\d{4}) ", text, re.MULTILINE)]
    assert len(found) == 6
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.95
    assert "total" in text
    assert float(text.split()[-1]) > 0.96


def test_what_has_seen_noise_leaves_less_of_it(run):
    noisy, pca, plain, denoising = (numbers[0] for _, numbers in rows(run("denoising")))
    assert denoising < min(pca, plain) < max(pca, plain) < noisy


def test_tour_of_vision(tmp_path):
    def timed(fit):
        start = time.perf_counter()
        return fit(), time.perf_counter() - start

    visit = runpy.run_path(str(ROOT / "examples" / "tour_vision.py"))["visit"]
    (_, _, accuracy, _, peer, _), (_, _, error, _, linear, _) = visit(tmp_path, timed)
    assert accuracy >= 0.985
    assert accuracy > peer
    assert error < linear / 1.4
    assert (tmp_path / "vision.png").stat().st_size > 1000


def test_who_slips_goes_round_the_wall(run):
    text = run("grid_world")
    found = re.findall(r"^slip (\S+): (.*), worth (\S+), 1000 episodes earn (\S+)$", text, re.MULTILINE)
    assert [way for _, way, _, _ in found] == ["along the holes"] * 2 + ["round the wall"] * 2
    worth, earned = (np.array([float(row[i]) for row in found]) for i in (2, 3))
    assert sorted(worth, reverse=True) == worth.tolist()
    # The deviation of an episode that ends in a hole (-1) or at the goal (1) is at most 1, that of the mean .03.
    np.testing.assert_allclose(earned, worth, atol=0.1)


def test_sarsa_keeps_away_from_the_cliff(run):
    found = re.findall(r"^(\w+) +learning: +(\S+) \+- \S+ +afterwards, greedy: +(\S+)$", run("cliff"), re.MULTILINE)
    learning, greedy = ({name: float(row[i]) for name, *row in found} for i in (0, 1))
    assert greedy["QLearning"] == -13 > greedy["SARSA"]
    assert learning["SARSA"] > learning["QLearning"] + 10


def test_search_over_lakes_orders_candidates_and_comes_near_the_planner(run):
    text = run("search_over_environments")
    scores = [float(score) for score in re.findall(r"^(\S+) \+- ", text, re.MULTILINE)]
    assert len(scores) == 12
    assert scores == sorted(scores, reverse=True)
    others = re.findall(r"^success_rate \S+ +(\S+) (\S+)$", text, re.MULTILINE)
    assert len(others) == 3
    assert all(0.5 * float(planner) < float(agent) < float(planner) + 0.1 for agent, planner in others)


def test_who_learns_from_rewards_outdoes_the_log(run):
    text = run("learning_from_a_log")
    written = float(re.search(r"which earn (\S+) on average", text)[1])
    truth = {label: numbers for label, numbers in signed_rows(text)}
    imitated, model = truth.pop("imitation (SARSA)"), truth.pop("no log, planner")
    assert abs(imitated[-1] - written) < 0.2
    assert len(truth) == 3
    for *_, robust, earned in truth.values():
        assert earned > model[-1] - 0.1 > written + 0.8
        assert abs(robust - earned) < 0.2


def signed_rows(text):
    """Return (label, numbers) of each line of a label and four numbers."""
    found = [re.fullmatch(r"(.*?)((?:\s+-?\d+\.\d+){4})", line) for line in text.splitlines()]
    return [(match[1], [float(number) for number in match[2].split()]) for match in found if match]


def test_tour_of_reinforcement(tmp_path):
    def timed(fit):
        start = time.perf_counter()
        return fit(), time.perf_counter() - start

    visit = runpy.run_path(str(ROOT / "examples" / "tour_reinforcement.py"))["visit"]
    rows = {what.partition(",")[0].partition(" in ")[0]: numbers for what, _, *numbers in visit(tmp_path, timed)}
    assert rows["PolicyIteration"][0] == pytest.approx(rows["PolicyIteration"][2], abs=1e-8)
    assert rows["QLearning"][0] > 7
    assert rows["SARSA"][0] > 0.3
    assert rows["AdvantageActorCritic"][0] > 195
    assert (tmp_path / "reinforcement.png").stat().st_size > 1000


def test_the_tour_stops_at_each_of_its_examples():
    stops = runpy.run_path(str(ROOT / "examples" / "tour.py"))["STOPS"]
    assert sorted(["tour", *stops]) == [name for name in EXAMPLES if name.startswith("tour")]


def test_examples_are_short():
    assert all(len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) < 80 for name in EXAMPLES)


def test_code_of_the_readme_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert names["theirs"].shape == (1, 3)


def test_the_tour_needs_no_more_than_make_demo_installs():
    for path in (pathlib.Path(__file__).parents[1] / "examples").glob("tour*.py"):
        source = path.read_text()
        assert not re.search(r"import pandas|import polars|as_frame", source), path.name
