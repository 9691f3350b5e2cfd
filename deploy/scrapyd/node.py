"""A scrapyd node that tells systemd when it is up and that it moves (sd_notify(3)), and that ends after its jobs.
`start` runs it with systemd's socket and the watchdog's microseconds, in the Python of the node, where vinops is not:
what vinops has for this cannot be used.
"""

from __future__ import annotations

import socket
import sys

from scrapyd import launcher
from scrapyd.__main__ import main
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall


def tell(address: str, message: str) -> None:
    """Send a message; if nobody hears it, the node works on."""
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(message.encode(), target)
    except OSError:
        return


class Job(launcher.ScrapyProcessProtocol):
    """What a job says is text. scrapyd takes it for a format, and logs "Unable to format event" for a line with a
    brace."""

    def outReceived(self, data: bytes) -> None:  # noqa: N802 # as Twisted calls it
        """Log what it wrote to standard output."""
        self._say("stdout", data)

    def errReceived(self, data: bytes) -> None:  # noqa: N802 # as Twisted calls it
        """Log what it wrote to standard error: every line of its log, not errors alone."""
        self._say("stderr", data)

    def _say(self, stream: str, data: bytes) -> None:
        text = data.decode(errors="replace").rstrip()
        launcher.log.info("{text}", text=text, log_system=f"Launcher,{self.pid}/{stream}")


class Launcher(launcher.Launcher):
    """Told to stop, it waits for its jobs. systemd tells them together with the node, and when the node has ended it
    tells what is left of the unit once more: to Scrapy a second SIGTERM means at once, with the leases not given back.
    """

    def stopService(self) -> DeferredList:  # noqa: N802 # as Twisted calls it
        """Return what comes when the last job has ended."""
        super().stopService()
        return DeferredList([process.deferred for process in self.processes.values()])


def serve_systemd(address: str, seconds: float) -> None:
    """Say to systemd's socket when the port is open, and feed the watchdog of so many seconds, 0 for none, from the
    loop that answers requests and starts jobs."""
    launcher.Launcher = Launcher  # what scrapyd takes unless its configuration names another
    reactor.callWhenRunning(tell, address, "READY=1")
    reactor.addSystemEventTrigger("before", "shutdown", tell, address, "STOPPING=1")
    if seconds:
        reactor.callWhenRunning(LoopingCall(tell, address, "WATCHDOG=1").start, seconds / 3)


if __name__ == "__main__":
    notify_socket, watchdog_usec = sys.argv[1:3]
    del sys.argv[1:3]  # the rest is for scrapyd
    launcher.ScrapyProcessProtocol = Job
    if notify_socket:
        serve_systemd(notify_socket, int(watchdog_usec) / 1e6)
    main()
