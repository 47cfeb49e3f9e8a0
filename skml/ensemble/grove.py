"""A forest while it grows: the members so far, what their splits gained, and what they said out of bag."""

from dataclasses import dataclass, field

import numpy as np

from skml.ensemble.oob import OutOfBag, add_answers


@dataclass
class Grove:
    """The members so far; it grows in place.

    Attributes
    ----------
    members : list of models
        In order.
    importances, squares : ndarray of shape (n_features,)
        Sums over the members of what each feature's splits gained, and of its square.
    oob : OutOfBag or None
        What was said out of bag; None: nobody asks.
    origin : dict of str to object
        What the members are made from.
    table : Table or None
        The binned training rows; None where members are no trees of ours.
    curve : list of float
        The out-of-bag score after each member.
    """

    members: list
    importances: np.ndarray
    squares: np.ndarray
    oob: OutOfBag | None
    origin: dict
    table: object = None
    curve: list = field(default_factory=list)

    def add(self, member, importances):
        """Take in a member, and what its splits gained."""
        self.members.append(member)
        self.importances = self.importances + importances
        self.squares = self.squares + importances**2

    def hear(self, answers, score):
        """Take in what a member said out of bag, and score all that was said so far."""
        add_answers(self.oob, *answers)
        self.curve.append(score(self.oob))

    def model(self):
        """Return all members as one model, and hold them as that from now on."""
        self.members[:] = [self.members[0].joined(self.members[1:])]
        return self.members[0]
