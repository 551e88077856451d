"""`tito grade`: submissions found, judged each by a process of its own, and what is told of them."""
