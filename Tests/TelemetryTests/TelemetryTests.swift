// TelemetryTests: to come.
