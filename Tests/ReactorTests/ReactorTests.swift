// ReactorTests: to come.
