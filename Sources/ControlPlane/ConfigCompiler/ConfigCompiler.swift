// ConfigCompiler: to come.
