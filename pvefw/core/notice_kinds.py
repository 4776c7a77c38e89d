"""What people are told of, by name. The command line completes these without loading all values."""

NOTICES = (
    "renewal-failed",
    "renewal-overdue",
    "renewal-recovered",
    "certificate",
    "served",
    "boot-synced",
    "boot-unexpected",
    "bulk-failed",
    "timer-missing",
)
"""The kinds of :class:`~pvefw.core.model.NoticeEvent`: a renewal failed; a certificate ends soon and is
not renewed; a renewal succeeded again; a new certificate is installed; something else is served, or no
more; ESPs are out of step; another kernel runs than the one that was asked for; guests are not as a bulk
action wanted them; nothing runs renewals by itself."""
