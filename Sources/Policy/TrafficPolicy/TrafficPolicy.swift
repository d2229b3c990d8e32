// TrafficPolicy: to come.
