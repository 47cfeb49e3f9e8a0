"""What the contract tests share: the estimators and variants they run over, data, answers, child processes."""
