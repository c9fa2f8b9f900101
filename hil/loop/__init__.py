"""The closed loop: search, build, measure, recalibrate, until prediction and measurement agree; and the report of a run."""
