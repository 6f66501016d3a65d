"""The student as a service: HTTP in, the table of ``octodon predict`` out. Thin: it reads, asks the model, and writes."""
