"""A bag of three pipelines, taken in turn, beside each of them alone and a bag of copies of each, on digits.

Different kinds of models make different mistakes, so their vote is better than the best of them; copies of one kind
gain less. Out-of-bag scores stand beside those on rows put aside: nothing has to be held back for them.
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skml import BaggingForest

N_SPLITS = 3
PIPELINES = {
    "scale, logistic regression": make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3)),
    "scale, PCA, nearest neighbours": make_pipeline(StandardScaler(), PCA(0.9), KNeighborsClassifier()),
    "scale, PCA, quadratic": make_pipeline(StandardScaler(), PCA(0.8), QuadraticDiscriminantAnalysis(reg_param=0.05)),
}
BAGS = {**PIPELINES, "all three in turn": list(PIPELINES.values())}


def main():
    """Print the table."""
    X, y = load_digits(return_X_y=True)
    sums = {name: [0.0, 0.0, 0.0] for name in BAGS}
    for seed in range(N_SPLITS):
        train, test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=seed, stratify=y)
        for name, members in BAGS.items():
            bag = BaggingForest(members, n_estimators=30, oob_score=True, random_state=seed).fit(train, y_train)
            alone = PIPELINES[name].fit(train, y_train).score(test, y_test) if name in PIPELINES else float("nan")
            found = (alone, bag.score(test, y_test), bag.oob_score_)
            sums[name] = [total + one for total, one in zip(sums[name], found)]
    print(f"{'accuracy, digits':<34}{'alone':>8}{'bag':>8}{'out of bag':>12}")
    for name, (alone, bagged, oob) in sums.items():
        print(f"{name:<34}{alone / N_SPLITS:>8.3f}{bagged / N_SPLITS:>8.3f}{oob / N_SPLITS:>12.3f}")


if __name__ == "__main__":
    main()
