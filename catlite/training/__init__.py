"""Training without labels: the estimators and rewards of the floors below, inside TRL's GRPO and SFT trainers."""
