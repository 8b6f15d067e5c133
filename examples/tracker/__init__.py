"""A small issue tracker with a web API, as an example of an application that eventworker serves."""
