"""Findings about source code: budgets, arrows between modules, imports, and primitives that load or run code.

Each function takes the parsed source of one file and yields sentences; the tests in test_architecture.py run them over
the package, and over small bad sources to see that they do find something.
"""

import ast
import io
import re
import tokenize

FILE_LINES, KERNEL_LINES, FUNCTION_LINES, FIT_LINES, CORE_PARAMETERS, TWIN_LINES = 400, 300, 50, 25, 7, 15

OPTIONAL = {"matplotlib", "rich", "skops", "pandas", "polars", "gymnasium", "pyarrow", "torch", "IPython"}
OPTIONAL |= {"safetensors"}

# Which floor a module stands on; arrows point down, or sideways within one package.
GROUND, BASE, NETWORK, PACKAGE, SHARED_PACKAGE = range(5)
FLOORS = {
    "_sklearn": GROUND,
    "_dtypes": GROUND,
    "_kernels": GROUND,
    "_arrays": BASE,
    "_axes": BASE,
    "_labels": BASE,
    "_rows": BASE,
    "base": BASE,
    "displays": BASE,
    "inspection": BASE,
    "callback": BASE,
    "network": NETWORK,
    "vision": SHARED_PACKAGE,
    "language": SHARED_PACKAGE,
    "reinforcement": SHARED_PACKAGE,
}

DANGEROUS_MODULES = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib.externals", "ctypes", "cffi"),
    *(
        "subprocess",
        "pty",
        "socket",
        "socketserver",
        "ssl",
        "urllib",
        "http",
        "ftplib",
        "smtplib",
        "xmlrpc",
        "requests",
    ),
    *("importlib", "runpy", "pkgutil", "imp", "zipimport", "code", "codeop", "yaml", "telnetlib", "webbrowser"),
}
DANGEROUS_CALLS = {
    *("eval", "exec", "compile", "__import__", "breakpoint", "input"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.spawnl", "os.posix_spawn"),
    *("os.startfile", "tempfile.mktemp", "joblib.load", "joblib.dump", "pandas.read_pickle", "numpy.fromfile"),
}


def code_lines(source):
    """Return the numbers of the lines that hold code: no blank lines, comments or docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines, at_start = set(), True
    for token in tokens:
        if token.type in blank:
            at_start = at_start or token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            continue
        if not (at_start and token.type == tokenize.STRING):
            lines.update(range(token.start[0], token.end[0] + 1))
        at_start = False
    return lines


def pyx_code_lines(source):
    """Return the numbers of the code lines of a Cython file, whose syntax Python cannot parse."""
    bare = re.sub(r'"""(?:.|\n)*?"""', lambda found: "\n" * found[0].count("\n"), source)
    return {i for i, line in enumerate(bare.split("\n"), 1) if line.strip() and not line.strip().startswith("#")}


def functions(tree):
    """Yield (function, enclosing class or None) for every function of a file, nested ones as well."""
    pending = [(tree, None)]
    while pending:
        node, owner = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield child, owner
                pending.append((child, None))
            else:
                pending.append((child, child if isinstance(child, ast.ClassDef) else owner))


def length(function, lines):
    """Return how many code lines a function has, its signature included."""
    return sum(function.lineno <= line <= function.end_lineno for line in lines)


def budgets(source, name=""):
    """Yield what is larger than its budget in a Python file."""
    tree, lines = ast.parse(source), code_lines(source)
    is_twin = ".reference." in name
    if len(lines) > FILE_LINES:
        yield f"file has {len(lines)} code lines, at most {FILE_LINES}"
    for function, owner in functions(tree):
        size = length(function, lines)
        limit = TWIN_LINES if is_twin and owner is None else FUNCTION_LINES
        limit = FIT_LINES if function.name in ("fit", "partial_fit") else limit
        if size > limit:
            yield f"{function.name} has {size} code lines, at most {limit}"
        positional = len(function.args.posonlyargs) + len(function.args.args)
        if owner is None and positional > CORE_PARAMETERS and not is_twin:
            yield f"{function.name} has {positional} positional parameters, at most {CORE_PARAMETERS}"


def pyx_budgets(source):
    """Yield what is larger than its budget in a Cython file or a C++ header."""
    lines = pyx_code_lines(source)
    if len(lines) > KERNEL_LINES:
        yield f"kernel file has {len(lines)} code lines, at most {KERNEL_LINES}"


def function_sizes(source):
    """Return the code lines of every function of a Python file."""
    lines = code_lines(source)
    return [length(function, lines) for function, _ in functions(ast.parse(source))]


def imports(tree):
    """Yield (node, dotted module, imported name or None) for every import of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, "." * node.level + (node.module or ""), alias.name) for alias in node.names)


def inside_functions(tree):
    """Return the import nodes that stand inside a function."""
    return {
        id(node)
        for function, _ in functions(tree)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }


def import_style(source, name=""):
    """Yield relative imports, star imports, and function-level imports of what isn't optional."""
    tree = ast.parse(source)
    late = inside_functions(tree)
    for node, module, imported in imports(tree):
        if module.startswith("."):
            yield f"relative import of {module}"
        if imported == "*":
            yield f"star import of {module}"
        if id(node) in late and module.partition(".")[0] not in OPTIONAL:
            yield f"function-level import of {module}"


def part_of(module):
    """Return the part of the house that a dotted module is in: ``skml.cluster.lloyd`` is in ``cluster``."""
    return module.split(".")[1] if module.startswith("skml.") else None


def arrows(tree, name):
    """Yield the skml modules that a file imports."""
    for _, module, imported in imports(tree):
        if module == "skml" and imported is not None:
            yield f"skml.{imported}"
        elif module.startswith("skml."):
            yield module


def arrow_findings(source, name):
    """Yield imports that point up, or from one package into another."""
    mine = part_of(name)
    if mine is None:
        return  # skml/__init__.py imports lazily, by name
    floor = FLOORS.get(mine, PACKAGE)
    for target in arrows(ast.parse(source), name):
        theirs = part_of(target)
        if theirs == mine:
            continue
        there = FLOORS.get(theirs, PACKAGE)
        ground = (mine, theirs) == ("_kernels", "_sklearn")
        sideways = floor == there == BASE and (mine, theirs) != ("inspection", "callback") and mine != "base"
        network_for_others = theirs == "network" and floor != SHARED_PACKAGE
        if (there >= min(floor, PACKAGE) and not ground and not sideways) or network_for_others:
            yield f"{name} imports {target}: not an arrow down"


def circles(graph):
    """Yield the circles of {module: imported modules}, as lists of modules."""
    done, path = set(), []

    def visit(module):
        if module in path:
            yield [*path[path.index(module) :], module]
        elif module not in done:
            path.append(module)
            for target in sorted(graph.get(module, ())):
                yield from visit(target)
            path.pop()
            done.add(module)

    for module in sorted(graph):
        yield from visit(module)


def adapter_findings(source, name=""):
    """Yield uses of scikit-learn's private names; only ``skml._sklearn`` may have them."""
    for node in ast.walk(ast.parse(source)):
        used = getattr(node, "attr", None) or (node.value if isinstance(node, ast.Constant) else None)
        if isinstance(used, str) and used.startswith(
            ("_callback_fit", "_init_callback", "_parent_callback", "_skl_callbacks")
        ):
            yield f"private name of scikit-learn: {used}"
    for _, module, imported in imports(ast.parse(source)):
        parts = [*module.split("."), imported or ""]
        if parts[0] == "sklearn" and any(part.startswith("_") and not part.startswith("__") for part in parts):
            yield f"private name of scikit-learn: {'.'.join(filter(None, parts))}"


def dotted(node, aliases):
    """Return the full dotted name of an expression such as ``np.load``, or an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([aliases.get(node.id, node.id), *reversed(parts)])


def dangers(source, name=""):
    """Yield what can load, run or fetch code or data from outside."""
    tree, aliases = ast.parse(source), {}
    lazy = name.endswith("__init__")
    for node, module, imported in imports(tree):
        for alias in node.names:
            whole = alias.name if isinstance(node, ast.Import) else f"{module}.{alias.name}"
            aliases[alias.asname or alias.name.partition(".")[0]] = whole if alias.asname or imported else module
        roots = {module, module.partition(".")[0], f"{module}.{imported}"}
        if roots & DANGEROUS_MODULES and not (lazy and module == "importlib"):
            yield f"imports {module}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func, aliases)
        if called in DANGEROUS_CALLS or called.startswith(("os.exec", "os.spawn")):
            yield f"calls {called}"
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if "allow_pickle" in keywords and not is_false(keywords["allow_pickle"]):
            yield f"calls {called} with allow_pickle"
        if called.split(".")[-1] == "load" and called.startswith(("numpy.", "np.")) and len(node.args) > 2:
            yield f"calls {called} with positional options"


def is_false(node):
    """Tell whether an expression is the constant False."""
    return isinstance(node, ast.Constant) and node.value is False


def bases(source):
    """Return {class: names of its bases} of a file."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found[node.name] = [dotted(base, {}).rpartition(".")[2] for base in node.bases]
    return found


def pyx_functions(source):
    """Return {function: parameter names} of a Cython file's ``def`` and ``cpdef`` functions."""
    found = {}
    for name, arguments in re.findall(
        r"^(?:def|cpdef)\s+(?:[\w\[\], ]+\s)?(\w+)\s*\(((?:[^()]|\([^()]*\))*)\)", source, re.M
    ):
        bare = re.sub(r"#[^\n]*", "", arguments)
        bare = re.sub(r"\[[^\]]*\]", "", bare)  # the axes of memoryviews hold commas
        parts = [part.partition("=")[0].strip() for part in bare.split(",")]
        found[name] = [part.split()[-1].strip("*&") for part in parts if part not in ("", "*", "/")]
    return found


def py_functions(source):
    """Return {function: parameter names} of a Python file's public functions."""
    return {
        node.name: [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
