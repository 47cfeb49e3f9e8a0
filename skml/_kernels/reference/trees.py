"""Twin of trees.pyx: one tree grown from histograms of binned rows, in plain NumPy."""

from functools import partial
from types import SimpleNamespace

import numpy as np

GINI, ENTROPY, SQUARED, POISSON, ABSOLUTE = range(5)
MISSING = 255
TIE = 1e-12  # scores that differ by less, relatively, are equal: the earlier split is kept
MASK = 2**64 - 1


def grow_classes(table, rule, rows, weights, targets, first, class_weights, x_log_x, features, seed, grown):
    """Grow a tree of classes; return how many inner nodes, sets of categories and leaves it has."""
    _check(table, rule, (rows, weights, targets), features, grown)
    outputs = [slice(begin, end) for begin, end in zip(first[:-1], first[1:])]
    inside = [np.all((y >= own.start) & (y < own.stop)) for y, own in zip(targets, outputs)]
    if not len(outputs) == len(targets) > 0 or first[0] != 0 or first[-1] != len(class_weights) or not all(inside):
        raise ValueError("first must give the classes of each output.")
    side = partial(_class_side, rule.criterion, outputs, class_weights, x_log_x)
    learned = SimpleNamespace(cells=partial(_class_cells, len(class_weights)), base=side, by_rows=False)
    learned.score = lambda left, right: side(left) + side(right)
    learned.count = lambda sums: sums[:, outputs[0]].sum(axis=1)
    learned.weight = lambda sums: _in_order(sums[:, outputs[0]] * class_weights[outputs[0]])
    learned.value = lambda sums: sums[:, 1] * class_weights[1] / learned.weight(sums)
    learned.keys = _share if len(class_weights) == 2 else _principal
    learned.perfect = partial(_cannot_be_beaten, rule.criterion, class_weights)
    return _grow(learned, table, rule, (rows, weights, targets), features, seed, grown)


def grow_numbers(table, rule, rows, weights, targets, units, offsets, features, seed, grown):
    """Grow a tree of numbers; return how many inner nodes, sets of categories and leaves it has."""
    _check(table, rule, (rows, weights, targets), features, grown)
    if not len(units) == len(offsets) == len(targets) > 0:
        raise ValueError("units, offsets and targets must agree in length.")
    learned = SimpleNamespace(cells=_number_cells, keys=_mean, by_rows=rule.criterion == ABSOLUTE)
    learned.medians, learned.base = partial(_both_medians, units[0], offsets[0]), lambda sums: np.zeros(len(sums))
    learned.score = partial(_less_error if learned.by_rows else _between, units)
    if rule.criterion == POISSON:
        learned.base = partial(_half_deviance, units, offsets)
        learned.score = lambda left, right: learned.base(left) + learned.base(right)
    learned.count = lambda sums: sums[:, -1]
    learned.weight = lambda sums: sums[:, -1].astype(np.float64)
    learned.value = lambda sums: (sums[:, 0] * units[0] + offsets[0] * sums[:, -1]) / sums[:, -1]
    learned.perfect = lambda score, total, n_rows: n_rows == 2  # any split tells them apart
    return _grow(learned, table, rule, (rows, weights, targets), features, seed, grown)


# -------------------------------------------------------------------------------------------- what is learned


def _in_order(terms):
    """Return the sum of each row, term by term: the kernel's rounding."""
    return np.cumsum(terms, axis=1)[:, -1]


def _class_cells(n_classes, codes, targets, weights):
    cells = np.zeros((256, n_classes), np.int64)
    for y in targets:
        np.add.at(cells, (codes, y), weights)
    return cells


def _class_side(criterion, outputs, class_weights, x_log_x, sums):
    """Sum over outputs of sum_c x_c^2 / sum_c x_c (gini), or sum_c x_c log x_c - (sum_c x_c) log(sum_c x_c)."""
    score = np.zeros(len(sums))
    for own in outputs:
        x = sums[:, own] * class_weights[own]
        total = _in_order(x)
        if criterion == GINI:
            score += np.divide(_in_order(x * x), total, out=np.zeros(len(x)), where=total > 0)
        else:
            score += _in_order(_times_log(x, sums[:, own], x_log_x))
            score -= _times_log(total, sums[:, own].sum(axis=1), x_log_x)
    return score


def _cannot_be_beaten(criterion, class_weights, score, total, n_rows):
    """Tell whether both sides are pure."""
    weight = _in_order((total * class_weights)[None])[0]
    return score >= (weight if criterion == GINI else 0) - 1e-12 * weight


def _times_log(x, counts, x_log_x):
    logs = x * np.log(np.where(x > 0, x, 1))
    return np.where(counts < len(x_log_x), np.append(x_log_x, 0)[np.minimum(counts, len(x_log_x))], logs)


def _number_cells(codes, targets, weights):
    cells = np.zeros((256, len(targets) + 1), np.int64)
    np.add.at(cells, codes, np.column_stack([(targets * weights).T, weights]))
    return cells


def _between(units, left, right):
    """Return W / (l r) (sum of the left - l mean)^2: the variance between the sides, times the weight."""
    total, l, r = (left + right)[:1].sum(axis=0), left[:, -1].astype(np.float64), right[:, -1].astype(np.float64)
    weight = max(1, int(total[-1]))
    whole = np.sign(total[:-1]) * (np.abs(total[:-1]) // weight)
    rest = (total[:-1] - whole * weight) / weight
    gaps = ((left[:, :-1] - left[:, -1:] * whole) - l[:, None] * rest) * units
    return _in_order(gaps * gaps) * float(weight) / (l * r)


def _half_deviance(units, offsets, sums):
    """Return sum y log(mean y), the part of the half deviance that splits change; a sum within rounding of 0 is 0."""
    y, w = sums[:, :-1] * units + offsets * sums[:, -1:], sums[:, -1:].astype(np.float64)
    positive = y > w * (units + 1e-12 * np.abs(offsets))
    terms = y * np.log(np.where(positive, y, 1) / w)
    return np.where(np.all(positive, axis=1), _in_order(terms), -np.inf)


def _less_error(units, codes, targets, weights, order, start):
    """Return by how much the sum of absolute errors around weighted medians falls, after each code of the order."""
    gains, left = np.zeros(len(order)), np.isin(codes, start)
    for j, code in enumerate(order):
        left |= codes == code
        for y, unit in zip(targets, units):
            after = _error(y[left], weights[left]) + _error(y[~left], weights[~left])
            gains[j] += float(_error(y, weights) - after) * unit
    return gains


def _error(y, weights):
    return int((weights * np.abs(y - _medians(y, weights)[0])).sum()) if len(y) else 0


def _medians(y, weights):
    """Return the lower and the upper median."""
    order = np.argsort(y, kind="stable")
    reached = np.cumsum(weights[order], dtype=np.int64)
    return y[order[np.searchsorted(2 * reached, reached[-1] + np.arange(2)).clip(max=len(y) - 1)]]


def _both_medians(unit, offset, codes, targets, weights, order, start):
    """Return what the left and the right would say, after each code of the order."""
    found, left = np.zeros((2, len(order))), np.isin(codes, start)
    for j, code in enumerate(order):
        left |= codes == code
        for side, inside in enumerate((left, ~left)):
            lower, upper = _medians(targets[0][inside], weights[inside]) if inside.any() else (0, 0)
            found[side, j] = (lower / 2 + upper / 2) * unit + offset
    return found


# ---------------------------------------------------------------------------------------- categories in order


def _mean(cells):
    return _in_order(cells[:, :-1] / cells[:, -1:].astype(np.float64))


def _share(cells):
    return cells[:, 1] / cells.sum(axis=1)


def _principal(cells):
    """Return each category's place along the first principal component of the shares, by the power method."""
    weights, s = cells.sum(axis=1).astype(np.float64), np.arange(cells.shape[1])
    gaps = cells / weights[:, None] - cells.sum(axis=0) / weights.sum()
    axis = np.where(s % 2, 1 / (s + 2), -1 / (s + 1))
    for _ in range(20):
        along = _in_order(gaps * axis)
        product = _in_order(weights * along * gaps.T)
        norm = _in_order(product[None] ** 2)[0]
        if not norm > 0:
            break
        axis = product / np.sqrt(norm)
    return along


# ------------------------------------------------------------------------------------------------- the table


def _fetch(table, f, rows):
    if table.packed is not None:
        return _fetch_packed(table, f, rows)
    if len(table.starts) == 0:
        return table.codes[rows, f]
    column = np.full(table.n_rows, table.zero_codes[f])
    entries = slice(table.starts[f], table.starts[f + 1])
    column[table.entry_rows[entries]] = table.entry_codes[entries]
    return column[rows]


def _fetch_packed(table, f, rows):
    """Return codes of packed rows: of each 48 features the bits of those held, above them how many come before."""
    packed, bit = table.packed, np.uint64(1) << np.uint64(f % 48)
    words = packed.words[rows, f // 48]
    held = (words & bit) > 0
    before = (words >> np.uint64(48)).astype(np.int64) + np.bitwise_count(words & (bit - np.uint64(1)))
    codes = np.full(len(rows), table.zero_codes[f])
    codes[held] = packed.codes[(packed.starts[rows] + before)[held]]
    return codes


def _middle(table, f, low, high):
    """Return the code whose edge is nearest to the middle of a gap, the lower of two that are about equally near."""
    edges = table.edges[table.edge_starts[f] :][low:high]
    if high == low + 1:
        return low
    centre, slack = edges[0] / 2 + edges[-1] / 2, 1e-6 * (abs(edges[0]) + abs(edges[-1]))
    at = int(np.searchsorted(edges[:-1], centre))
    while at > 0 and centre - edges[at - 1] <= edges[at] - centre + slack:
        at -= 1
    return low + at


def _check(table, rule, bag, features, grown):
    rows, weights, targets = bag
    if not len(rows) == len(weights) == targets.shape[1] or len(rows) == 0 or len(features) == 0:
        raise ValueError("a tree needs rows, weights and targets of one length, and features.")
    if np.any(np.diff(rows) <= 0) or rows[0] < 0 or rows[-1] >= table.n_rows or weights.min() < 1:
        raise ValueError("rows must ascend and be those of the table, weights be at least 1.")
    if weights.sum(dtype=np.int64) >= 2**31:
        raise ValueError("weights must add up to less than 2**31.")
    p = len(table.categorical)
    if not 0 <= features.min() <= features.max() < p == len(table.edge_starts) - 1 or len(rule.monotonic) not in (0, p):
        raise ValueError("features, monotonic and edge_starts must be those of the table.")
    if min(len(room) for room in vars(grown).values()) < len(rows):
        raise ValueError(f"grown must have room for {len(rows)} leaves.")


# ------------------------------------------------------------------------------------------------- the splits


def _allowed(tree, node, f, left, right, values):
    rule, learned = tree.rule, tree.learned
    allowed = np.minimum(learned.count(left), learned.count(right)) >= rule.min_leaf
    allowed &= np.minimum(learned.weight(left), learned.weight(right)) >= rule.min_weight
    if len(rule.monotonic):
        l, r = values
        allowed &= (l >= node.low) & (l <= node.high) & (r >= node.low) & (r <= node.high)
        allowed &= (r - l) * rule.monotonic[f] >= 0
    return allowed


def _values(tree, sides):
    """Return what both sides would say after each code, where monotonic constraints ask."""
    if len(tree.rule.monotonic) == 0:
        return np.zeros((2, len(sides[-2] if tree.learned.by_rows else sides[0])))
    if tree.learned.by_rows:
        return tree.learned.medians(*sides)
    with np.errstate(invalid="ignore"):
        return np.array([tree.learned.value(side) for side in sides])


def _sweep(tree, node, f, seen, order, start):
    """Move codes from right to left, in their order; return after how many of them the best split yet is, or 0."""
    codes, cells = seen
    left = cells[start].sum(axis=0) + np.cumsum(cells[order], axis=0)
    right, here = node.total - left, slice(node.begin, node.end)
    by_rows = tree.learned.by_rows
    sides = (codes, tree.targets[:, here], tree.weights[here], order, start) if by_rows else (left, right)
    scores, values, at = tree.learned.score(*sides), _values(tree, sides), 0
    better = scores > node.split.bar
    for j in np.flatnonzero(better & _allowed(tree, node, f, left, right, values)) if np.any(better) else ():
        if scores[j] > node.split.bar:
            node.split.score, node.split.bar = scores[j], scores[j] + TIE * abs(scores[j])
            at, node.split.between = j + 1, values[:, j].sum() / 2
    return at


def _search(tree, node, f, codes):
    """Try every split of a feature."""
    here = slice(node.begin, node.end)
    cells, found = tree.learned.cells(codes, tree.targets[:, here], tree.weights[here]), np.unique(codes)
    if tree.table.categorical[f]:
        order = found[np.argsort(tree.learned.keys(cells[found]), kind="stable")]
        _divide(tree, node, f, cells, order, _sweep(tree, node, f, (codes, cells), order[:-1], []))
        return
    missing, known = found[-1] == MISSING, found[found != MISSING]
    at = _sweep(tree, node, f, (codes, cells), known if missing else known[:-1], [])
    _cut(tree, node, f, cells, known, at, missing)
    if missing and (at := _sweep(tree, node, f, (codes, cells), known[:-1], [MISSING])):
        _cut(tree, node, f, cells, known, at, missing)
        node.split.missing_left = True


def _cut(tree, node, f, cells, known, at, missing):
    """Note a split of a number; where none is missing, those to come go where more of the weight goes."""
    if at == 0:
        return
    split, n_codes = node.split, int(tree.table.edge_starts[f + 1] - tree.table.edge_starts[f])
    split.feature, split.low, split.high = f, int(known[at - 1]), int(known[min(at, len(known) - 1)])
    if at == len(known):  # only missing values go right, so all numbers go left
        split.low = max(split.low, n_codes - 1)
    if at == len(known) or split.high > n_codes:
        split.high = split.low + 1
    weight = tree.learned.weight
    left = cells[known[:at]].sum(axis=0)
    split.missing_left = not missing and bool(2 * weight(left[None])[0] >= weight(node.total[None])[0])


def _divide(tree, node, f, cells, order, at):
    """Note a split of categories; those that the node hasn't seen go where more of its weight goes."""
    if at == 0:
        return
    weights = tree.learned.weight(cells[order])
    node.split.feature = f
    node.split.left = np.full(256, sum(weights[:at]) >= sum(weights[at:]))
    node.split.left[order[:at]] = True
    node.split.left[order[at:]] = False


# ------------------------------------------------------------------------------------------------- the grower


def _grow(learned, table, rule, bag, features, seed, grown):
    tree = SimpleNamespace(learned=learned, table=table, rule=rule, features=list(features), state=seed, grown=grown)
    tree.rows, tree.weights, tree.targets = bag
    tree.n_inner = tree.n_sets = tree.n_leaves = 0
    tree.open = []
    total = learned.cells(np.zeros(len(tree.rows), np.uint8), tree.targets, tree.weights)[0]
    _place(tree, _evaluated(tree, 0, len(tree.rows), -1, 0, (-np.inf, np.inf), total))
    while tree.open:  # the latest, or with a limit to the leaves the one that gains most
        most = max(range(len(tree.open)), key=lambda i: (tree.open[i].gain, -tree.open[i].begin))
        node = tree.open.pop(most if rule.max_leaves else -1)
        if rule.max_leaves and tree.n_leaves + len(tree.open) + 2 > rule.max_leaves:
            _close(tree, node)
        else:
            _expand(tree, node)
    return tree.n_inner, tree.n_sets, tree.n_leaves


def _place(tree, node):
    """Let a node that can be split wait for its turn; any other is a leaf."""
    if node.split.feature < 0:
        _close(tree, node)
    else:
        tree.open.append(node)


def _close(tree, node):
    if node.parent >= 0:
        tree.grown.children.reshape(-1)[node.parent] = ~tree.n_leaves
    tree.grown.leaf_begins[tree.n_leaves] = node.begin
    tree.grown.bounds[tree.n_leaves] = node.low, node.high
    tree.n_leaves += 1


def _evaluated(tree, begin, end, parent, depth, bounds, total):
    """Return a node with its best split, if it is to be split."""
    node = SimpleNamespace(begin=begin, end=end, parent=parent, depth=depth, low=bounds[0], high=bounds[1], total=total)
    node.split, node.gain = _no_split(), 0.0
    if _is_leaf(tree, node):
        return node
    _find_split(tree, node)
    node.gain = node.split.score - tree.learned.base(total[None])[0] if node.split.feature >= 0 else 0.0
    if node.gain < tree.rule.min_gain:
        node.split = _no_split()
    elif node.split.feature >= 0 and not tree.table.categorical[node.split.feature]:
        node.split.low = _middle(tree.table, node.split.feature, node.split.low, node.split.high)
        node.split.left = np.arange(256) <= node.split.low
        node.split.left[MISSING] = node.split.missing_left
    return node


def _find_split(tree, node):
    """Try features until there are enough, or none can be better."""
    for f, codes in _tried(tree, tree.rows[node.begin : node.end]):
        _search(tree, node, f, codes)
        n_rows = node.end - node.begin
        if node.split.feature >= 0 and tree.learned.perfect(node.split.score, node.total, n_rows):
            break


def _no_split():
    return SimpleNamespace(
        score=-np.inf, bar=-np.inf, feature=-1, low=0, high=0, missing_left=False, left=None, between=0.0
    )


def _is_leaf(tree, node):
    rule, count = tree.rule, tree.learned.count(node.total[None])[0]
    few = node.end - node.begin < 2 or count < max(rule.min_split, 2 * rule.min_leaf)
    light = tree.learned.weight(node.total[None])[0] < 2 * rule.min_weight
    pure = all(np.all(y == y[0]) for y in tree.targets[:, node.begin : node.end])
    return node.depth >= rule.max_depth or few or light or pure


def _tried(tree, rows):
    """Yield features drawn without replacement that aren't constant, and their codes."""
    usable, features = 0, tree.features
    for visited in range(len(features)):
        if visited >= tree.rule.max_features and usable:
            return
        drawn = visited + ((_draw(tree) >> 32) * (len(features) - visited) >> 32)
        features[visited], features[drawn] = features[drawn], features[visited]
        codes = _fetch(tree.table, features[visited], rows)
        if np.any(codes != codes[0]):
            usable += 1
            yield features[visited], codes


def _draw(tree):
    """Return 64 random bits: splitmix64 (Steele, Lea & Flood 2014)."""
    tree.state = z = (tree.state + 0x9E3779B97F4A7C15) & MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def _expand(tree, node):
    """Write an inner node."""
    split, grown, inner = node.split, tree.grown, tree.n_inner
    tree.n_inner += 1
    if node.parent >= 0:
        grown.children.reshape(-1)[node.parent] = inner
    grown.gains[inner] = node.gain
    if tree.table.categorical[split.feature]:
        grown.kinds[inner], grown.codes[inner], grown.features[inner] = 2, 0, tree.n_sets
        grown.sets[tree.n_sets] = np.packbits(split.left, bitorder="little").view("<u4")
        grown.set_features[tree.n_sets] = split.feature
        tree.n_sets += 1
    else:
        grown.kinds[inner], grown.codes[inner], grown.features[inner] = split.missing_left, split.low, split.feature
    _branch(tree, node, inner)


def _branch(tree, node, inner):
    """Move the rows that go left before those that go right, both in their order, and see to each side."""
    here = slice(node.begin, node.end)
    goes_left = node.split.left[_fetch(tree.table, node.split.feature, tree.rows[here])]
    order, at = np.argsort(~goes_left, kind="stable"), node.begin + int(goes_left.sum())
    for moved in (tree.rows, tree.weights, *tree.targets):
        moved[here] = moved[here][order]
    codes = np.arange(node.end - node.begin) >= at - node.begin
    left, right = tree.learned.cells(codes.astype(np.uint8), tree.targets[:, here], tree.weights[here])[:2]
    bounds = _bounds(tree, node)
    left = _evaluated(tree, node.begin, at, 2 * inner, node.depth + 1, bounds[0], left)
    right = _evaluated(tree, at, node.end, 2 * inner + 1, node.depth + 1, bounds[1], right)
    _place(tree, right)
    _place(tree, left)


def _bounds(tree, node):
    """Return what monotonic constraints leave each side: half of the range, up to between their values."""
    sign = tree.rule.monotonic[node.split.feature] if len(tree.rule.monotonic) else 0
    if sign == 0:
        return (node.low, node.high), (node.low, node.high)
    lower, upper = (node.low, node.split.between), (node.split.between, node.high)
    return (lower, upper) if sign > 0 else (upper, lower)
