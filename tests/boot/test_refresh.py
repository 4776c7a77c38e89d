from pvefw.boot import refresh, status


def test_first(ready, machine):
    task = ready()
    refresh.refresh(task)
    print(task.task.lines)
    found = status.status(ready())
    print(found.as_dict())
    assert found.ok
