// HTTPModel: to come.
