# Each target sets up what it needs in .venv the first time.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml meson.build meson.options $(shell find skml -name '*.py' -o -name '*.pyx' -o -name '*.hpp' -o -name 'meson.build')
# Two test processes with one thread each; what depends on threads sets their number itself.
TEST_ENV := SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=agg
SANITIZERS := address,undefined

.PHONY: demo test bench lint docs sanitize wheel clean

demo: | .venv/bin/python
	@test -e .venv/ready-test || $(MAKE) --no-print-directory .venv/ready-demo
	$(BIN)/python examples/tour.py

test: .venv/ready-test
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal

bench: .venv/ready-test
	for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file || exit 1; done

lint: .venv/ready-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: .venv/ready-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

# The kernel tests on a build with sanitizers and Cython's bounds checks.
sanitize: .venv/ready-sanitize
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 SCIPY_ARRAY_API=1 \
	PYTHONSAFEPATH=1 .venv/sanitize/bin/python -m pytest tests/kernels -p no:cacheprovider

wheel: .venv/ready-test
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .
	ls -l dist

clean:
	rm -rf .venv build dist docs/_build tour

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip

.venv/ready-demo: $(SOURCES) | .venv/bin/python
	$(BIN)/python -m pip install -q '.[plot]'
	touch $@

.venv/build-tools: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q 'meson-python>=0.17' 'Cython>=3.1' ninja
	touch $@

.venv/ready-test: pyproject.toml .venv/build-tools
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[plot,checkpoint,test]'
	touch $@

.venv/ready-lint: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q 'ruff==0.17.*'
	touch $@

.venv/ready-docs: .venv/ready-test
	$(BIN)/python -m pip install -q 'sphinx>=8' 'numpydoc>=1.8' 'myst-parser>=4' 'matplotlib>=3.9'
	touch $@

.venv/ready-sanitize: $(SOURCES) | .venv/bin/python
	$(PYTHON) -m venv .venv/sanitize
	.venv/sanitize/bin/python -m pip install -q 'meson-python>=0.17' 'Cython>=3.1' ninja
	.venv/sanitize/bin/python -m pip install -q --no-build-isolation '.[test]' \
		-Csetup-args=-Dsanitize=$(SANITIZERS) -Csetup-args=-Dbounds_check=true -Csetup-args=-Db_lundef=false
	touch $@
