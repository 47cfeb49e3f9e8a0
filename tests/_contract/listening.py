"""A callback that does nothing, for tests that need one or two of its hooks."""


class Listener:
    """The hooks of scikit-learn's callback protocol, all of them empty."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass
