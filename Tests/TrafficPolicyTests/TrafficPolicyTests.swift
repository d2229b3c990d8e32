// TrafficPolicyTests: to come.
