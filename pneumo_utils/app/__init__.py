"""Answers for any film: predictor, batches, the upload panel and the page around it."""
