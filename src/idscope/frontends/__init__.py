"""Where bytes come in and go out; a front end decides nothing."""
