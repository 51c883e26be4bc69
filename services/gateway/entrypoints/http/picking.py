"""Pick tasks: what the picker's terminal asks and says."""

from services.gateway.entrypoints.http.contracts import PICKING
from services.gateway.entrypoints.http.routes import Route

_TASK = "/v1/tasks/{task_id}"
_LINE = "/v1/tasks/{task_id}/lines/{line_id}"

ROUTES = (
    Route("GET", "/v1/tasks", PICKING["ListTasks"], "List the tasks of a site, oldest first"),
    Route("POST", "/v1/tasks:claim-next", PICKING["ClaimNext"], "Take the oldest open task"),
    Route("GET", _TASK, PICKING["GetTask"], "Show a task with its pick list", shows="task"),
    Route("POST", f"{_TASK}:claim", PICKING["ClaimTask"], "Take a task"),
    Route("POST", f"{_TASK}:unclaim", PICKING["UnclaimTask"], "Put a task back into the queue"),
    Route("POST", f"{_TASK}:reassign", PICKING["ReassignTask"], "Give a task to another picker"),
    Route(
        "POST",
        f"{_LINE}:pick",
        PICKING["PickLine"],
        "Units of a line went into a tote",
        nests="pick",
        minted="action_id",
    ),
    Route(
        "POST",
        f"{_LINE}:short",
        PICKING["ShortLine"],
        "Units of a line are missing",
        nests="short",
        minted="action_id",
    ),
    Route(
        "POST",
        f"{_LINE}:put-back",
        PICKING["PutBackLine"],
        "Units of a cancelled task are back on the shelf",
        minted="action_id",
    ),
    Route(
        "POST",
        f"{_TASK}/picks:batch",
        PICKING["PickLines"],
        "Several picks and shorts at once, all or none",
    ),
)
