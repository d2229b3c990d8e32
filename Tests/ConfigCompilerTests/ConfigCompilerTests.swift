// ConfigCompilerTests: to come.
