"""The command line: parse, call, print. Heavy modules are imported inside the commands, so that help is instant."""
