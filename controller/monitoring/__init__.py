"""Rules, routing and dashboards, made from policies and the names of ``serving.contract``. Pure: nothing is read or
written here."""
