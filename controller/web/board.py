"""The contents of the pages, read from the store, the data plane and Prometheus when somebody looks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from controller.core.commands import ANY_MODEL, Freeze
from controller.core.foresight import Standing as ModelStanding
from controller.core.parts import Grade, Standing, standing
from controller.core.release import Release
from controller.errors import SerinError, Source, TransientError
from controller.overview import opened
from controller.ports.journal import ReleaseRecord, ReleaseSummary
from controller.report.data import ReportData
from controller.service import Report, Service
from controller.web.course import Courses
from controller.web.pulse import Pulses
from controller.web.views import ServiceView, held_by, natural, service_view

SERVICES_A_PAGE: Final = 20
RELEASES_A_PAGE: Final = 25
AROUND_KEPT_S: Final = 60.0  # what was asked before is not told
OPENED_MAX: Final = 64  # releases that stay decoded


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """``page`` of ``pages`` pages of services, and the newest releases; ``more``: the release that older ones precede,
    empty where there are none."""

    now_s: float
    services: tuple[ServiceView, ...]
    services_known: int
    page: int
    pages: int
    releases: tuple[ReleaseSummary, ...]
    more: str
    freezes: tuple[Freeze, ...]  # of every model
    troubles: tuple[str, ...]
    standing: Standing | None  # of the installation, where not all of it answered lately


@dataclass(frozen=True, slots=True)
class ReleaseList:
    """Releases, newest first; ``more`` as in `OverviewPage`."""

    releases: tuple[ReleaseSummary, ...]
    more: str
    model: str | None


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """One release. ``release`` None: this version of Serin cannot read it, and ``unreadable`` says why."""

    now_s: float
    record: ReleaseRecord
    release: Release | None
    unreadable: str
    service: ServiceView
    freezes: tuple[Freeze, ...]


@dataclass(slots=True)
class Board:
    """``under_way`` gives releases as the loop knows them: whoever leads need not read what it has in memory."""

    service: Service
    pulses: Pulses
    courses: Courses
    under_way: Callable[[], Sequence[Release]] = tuple
    _reporting: Lock = field(
        default_factory=Lock
    )  # a report takes seconds of the processor that releases are judged by
    _around: tuple[float, Standing] | None = None
    _opened: OrderedDict[tuple[str, int], tuple[Release | None, str]] = field(default_factory=OrderedDict)

    def overview(self, page: int = 1) -> OverviewPage:
        """Return the services of one page, those with a release in progress first, and the newest releases.

        Raises:
            TransientError: the store does not answer.
        """
        service = self.service
        newest = {one.model: one for one in service.journal.current()}
        tables, running, freezes = service.site.traffic(), service.site.deployments(), service.frozen()
        known = {*newest, *tables, *service.models}
        models = sorted(known, key=lambda model: (not (model in newest and newest[model].active), natural(model)))
        pages = max(-(-len(models) // SERVICES_A_PAGE), 1)
        page = min(page, pages)
        shown = models[(page - 1) * SERVICES_A_PAGE : page * SERVICES_A_PAGE]
        under_way = {release.id: release for release in self.under_way()}
        now_s = service.clock.now_s()
        views = []
        for model in shown:
            summary = newest.get(model)
            views.append(
                service_view(
                    model,
                    table=tables.get(model),
                    running=running.get(model, {}),
                    pulse=self.pulses.of(model),
                    newest=summary,
                    release=self._read(summary, under_way)[0],
                    freezes=freezes,
                    now_s=now_s,
                )
            )
        listed = self.releases()
        return OverviewPage(
            now_s=now_s,
            services=tuple(views),
            services_known=len(models),
            page=page,
            pages=pages,
            releases=listed.releases,
            more=listed.more,
            freezes=tuple(freeze for freeze in freezes if freeze.model == ANY_MODEL),
            troubles=tuple(service.site.troubles()),
            standing=self._told_of(now_s),
        )

    def releases(self, model: str | None = None, before: str | None = None) -> ReleaseList:
        """Return releases, newest first, those before the one named. Raises as `overview`."""
        found = self.service.releases(model, limit=RELEASES_A_PAGE + 1, before=before)
        shown = tuple(found[:RELEASES_A_PAGE])
        return ReleaseList(shown, shown[-1].release_id if len(found) > len(shown) else "", model)

    def release(self, release_id: str) -> ReleasePage:
        """Return one release. Raises UnknownError where there is none, and as `overview`."""
        record = self.service.release(release_id)
        release, why = self._open(record)
        site, now_s = self.service.site, self.service.clock.now_s()
        freezes = self.service.frozen(record.model)
        view = service_view(
            record.model,
            table=site.traffic().get(record.model),
            running=site.deployments().get(record.model, {}),
            pulse=self.pulses.of(record.model),
            newest=None,
            release=release,
            freezes=freezes,
            now_s=now_s,
        )
        return ReleasePage(now_s, record, release, why, view, held_by(freezes, record.model))

    def standing(self, model: str) -> ModelStanding:
        """Return the model as it stands. Raises as `overview`, and UnknownError where nothing is known of the model."""
        service = self.service
        found = next(iter(service.journal.current(model=model)), None)
        table = service.site.traffic().get(model)
        if found is None and table is None:
            service.check(model)
        release, unreadable = self._read(found, {release.id: release for release in self.under_way()})
        return ModelStanding(model, release, table, service.frozen(model), unreadable=unreadable)

    def course(self, record: ReleaseRecord, *, at_once: bool) -> tuple[ReportData | None, str]:
        """Return what the release's journal tells, and why that cannot be read; where it is to be had ``at_once``,
        neither if reading takes long."""
        try:
            return (self.courses.at_once(record) if at_once else self.courses.read(record)), ""
        except SerinError as error:
            return None, str(error)

    def report(self, release_id: str) -> Report:
        """Return the release's report. Raises as `Service.report`, and TransientError while another is made:
        whoever waited would keep a thread from those who take a release back."""
        if not self._reporting.acquire(blocking=False):
            raise TransientError(Source.JOURNAL, "another report is being made: ask again")
        try:
            return self.service.report(release_id)
        finally:
            self._reporting.release()

    def look_around(self) -> None:
        """Ask every part of the installation whether it answers: a second or two, where some do not."""
        site = self.service.site
        found = standing(site.parts(), site.traffic())
        self._around = (self.service.clock.now_s(), found)

    def _told_of(self, now_s: float) -> Standing | None:
        if self._around is None or now_s - self._around[0] > AROUND_KEPT_S or self._around[1].grade is Grade.UP:
            return None
        return self._around[1]

    def versions_of(self, models: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the versions of these models that users are answered by."""
        tables = self.service.site.traffic()
        return {model: tuple(sorted(tables[model].weights_pct)) for model in models if model in tables}

    def _read(self, summary: ReleaseSummary | None, under_way: dict[str, Release]) -> tuple[Release | None, str]:
        """Return the release in progress, and why it cannot be read."""
        if summary is None or not summary.active:
            return None, ""
        if (release := under_way.get(summary.release_id)) is not None:
            return release, ""
        record = self.service.journal.release(summary.release_id)
        return self._open(record) if record is not None else (None, "")

    def _open(self, record: ReleaseRecord) -> tuple[Release | None, str]:
        key = (record.release_id, record.sequence)
        if (found := self._opened.get(key)) is None:
            found = self._opened[key] = opened(record)
            while len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)
        return found
