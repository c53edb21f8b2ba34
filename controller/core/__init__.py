"""Pure: releases, events, decisions. No I/O, no clock, no third-party client."""
