"""The command line: one file a verb. Each parses, calls, and answers; nothing here knows how a network is trained."""
