// XDSSchemaTests: to come.
