// AdminAPI: to come.
