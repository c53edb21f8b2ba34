"""One replica put together: the application, the HTTP processes, and the supervisor that starts and ends them."""
