"""The `review-sentiment` command. Its modules import other packages inside functions only, so that help is quick."""
