// Telemetry: to come.
