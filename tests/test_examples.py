"""The examples and the README's code run without a warning, and those of recommenders show what is true."""

import pathlib
import re
import runpy
import time

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
