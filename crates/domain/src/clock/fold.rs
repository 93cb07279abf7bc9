//! One clock: its state, its events, and the fold that makes the one from the others.

use super::*;

/// A change of a clock, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "clockEvent", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum ClockEvent {
    /// A promise was given.
    Started {
        /// The clock.
        id: Uuid,
        /// What it waits for.
        kind: ClockKind,
        /// Who promised.
        party: Party,
        /// Whose speed it measures.
        level: ClockLevel,
        /// Cycle of the lead.
        cycle: u32,
        /// Whose calendar counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject_owner: Option<Uuid>,
        /// Number of the charter that holds the policy.
        policy_charter: u32,
        /// Which time counts.
        mode: CalendarMode,
        /// When it started.
        at: Instant,
        /// Time until due, in the clock's own time.
        target_ms: i64,
        /// The last instant that is in time.
        due_at: Instant,
    },
    /// `due_at` is the due time if the pause lasts as long as it may.
    Paused {
        /// The clock.
        id: Uuid,
        /// When the pause began.
        at: Instant,
        /// Key of the charter's reason.
        reason: String,
        /// When the pause ends by itself.
        until: Instant,
        /// The longest that it may take, in the clock's own time.
        limit_ms: i64,
        /// What was left of the target.
        remaining_ms: i64,
        /// The due time if the pause lasts as long as it may.
        due_at: Instant,
    },
    /// `paused_ms` is what this pause took, in the clock's own time.
    Resumed {
        /// The clock.
        id: Uuid,
        /// When the time counted again.
        at: Instant,
        /// What this pause took, in the clock's own time.
        paused_ms: i64,
        /// Which time counts from now on.
        mode: CalendarMode,
        /// The new due time.
        due_at: Instant,
    },
    /// The promise was kept at `at`; on a breached clock: too late, which is recorded.
    Met {
        /// The clock.
        id: Uuid,
        /// When the promise was kept.
        at: Instant,
    },
    /// The due time `at` passed.
    Breached {
        /// The clock.
        id: Uuid,
        /// The due time that passed.
        at: Instant,
    },
    /// An act at `at`, in time, became known only after a breach or after a later act.
    Corrected {
        /// The clock.
        id: Uuid,
        /// When the promise was kept after all.
        at: Instant,
    },
    /// The promise lost its object before it was due.
    Cancelled {
        /// The clock.
        id: Uuid,
        /// When it ended.
        at: Instant,
    },
}

impl ClockEvent {
    pub fn clock(&self) -> Uuid {
        match self {
            ClockEvent::Started { id, .. }
            | ClockEvent::Paused { id, .. }
            | ClockEvent::Resumed { id, .. }
            | ClockEvent::Met { id, .. }
            | ClockEvent::Breached { id, .. }
            | ClockEvent::Corrected { id, .. }
            | ClockEvent::Cancelled { id, .. } => *id,
        }
    }

    /// When it happened, which may be before it became known.
    pub fn at(&self) -> Instant {
        match self {
            ClockEvent::Started { at, .. }
            | ClockEvent::Paused { at, .. }
            | ClockEvent::Resumed { at, .. }
            | ClockEvent::Met { at, .. }
            | ClockEvent::Breached { at, .. }
            | ClockEvent::Corrected { at, .. }
            | ClockEvent::Cancelled { at, .. } => *at,
        }
    }
}

/// A pause that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// When it began.
    pub at: Instant,
    /// Key of the charter's reason.
    pub reason: String,
    /// When it ends by itself.
    pub until: Instant,
    /// From `at` to `until` in the clock's own time.
    pub limit_ms: i64,
    /// What was left of the target when it began.
    pub remaining_ms: i64,
}

/// A promise on its way, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlaClock {
    /// Identity of the clock.
    pub id: Uuid,
    /// What it waits for.
    pub kind: ClockKind,
    /// Who promised.
    pub party: Party,
    /// Whose speed it measures.
    pub level: ClockLevel,
    /// Where it stands.
    pub state: ClockState,
    /// Cycle of the lead; 0 for other subjects.
    pub cycle: u32,
    /// Whose calendar counts, with OWNER_HOURS.
    pub subject_owner: Option<Uuid>,
    /// Number of the charter whose policy the clock keeps to its end.
    pub policy_charter: u32,
    /// WALL_CLOCK instead of the policy's mode when there was no calendar, or none with working time.
    pub mode: CalendarMode,
    /// When it started.
    pub started_at: Instant,
    /// Begin of the running stretch: the start, or the last resumption.
    pub running_since: Instant,
    /// Time until due, in the clock's own time.
    pub target_ms: i64,
    /// The last instant that is in time. While PAUSED: if the pause lasts as long as it may.
    pub due_at: Instant,
    /// The pause that lasts, if one does.
    pub pause: Option<Pause>,
    /// All ended pauses together, in the clock's own time.
    pub paused_total_ms: i64,
    /// The earliest act that kept the promise, be it in time or not.
    pub met_at: Option<Instant>,
    /// The due time that passed; it stays when the breach was corrected.
    pub breached_at: Option<Instant>,
    /// When it lost its object.
    pub cancelled_at: Option<Instant>,
    /// A late report moved the end of the clock.
    pub corrected: bool,
}

/// What a clock needs to start beside its policy and its time.
#[derive(Clone, Copy, Debug)]
pub struct ClockStart {
    /// Identity of the new clock.
    pub id: Uuid,
    /// Who promises.
    pub party: Party,
    /// Whose speed it measures.
    pub level: ClockLevel,
    /// 0 for a subject that is no lead.
    pub cycle: u32,
    /// Whose calendar counts, with OWNER_HOURS.
    pub subject_owner: Option<Uuid>,
    /// Number of the charter that holds the policy.
    pub policy_charter: u32,
    /// Taken from the log.
    pub at: Instant,
    /// Usually `policy.target_ms(urgent)`, or the time until a date that the lead brought.
    pub target_ms: i64,
}

impl SlaClock {
    /// Starts a clock. Without working time in sight the wall clock counts, so that every promise falls due.
    pub fn start(policy: &SlaPolicy, start: ClockStart, work: WorkingTime) -> ClockEvent {
        let ClockStart { id, party, level, cycle, subject_owner, policy_charter, at, target_ms } = start;
        let target_ms = target_ms.max(0);
        let (due_at, mode) = due(policy.mode, work, at, target_ms);
        let kind = policy.kind;
        ClockEvent::Started {
            id,
            kind,
            party,
            level,
            cycle,
            subject_owner,
            policy_charter,
            mode,
            at,
            target_ms,
            due_at,
        }
    }

    /// Stops the time for a reason of `policy`, the one that the clock started with.
    pub fn pause(
        &self,
        at: Instant,
        reason: &str,
        policy: &SlaPolicy,
        work: WorkingTime,
    ) -> Result<ClockEvent, Refused> {
        let no = |message: String| Err(Refused::new(RefusalCode::IllegalTransition, message));
        let kind = self.kind;
        if self.state != ClockState::Running {
            return no(format!("the {kind} clock is {}; only a RUNNING clock can be paused", self.state));
        }
        if at > self.due_at {
            return no(format!(
                "the {kind} clock was due at {}; an overdue clock cannot be paused",
                self.due_at
            ));
        }
        if !policy.pause_reasons.iter().any(|known| known == reason) {
            let known =
                if policy.pause_reasons.is_empty() { "none".into() } else { policy.pause_reasons.join(", ") };
            let message =
                format!("{reason:?} does not pause the {kind} clock; the charter's reasons are: {known}");
            return Err(Refused::invalid("reason", message));
        }
        let limit_ms = i64::from(policy.max_pause_minutes) * MINUTE - self.paused_total_ms;
        if limit_ms <= 0 {
            let most = policy.max_pause_minutes;
            return no(format!(
                "the {kind} clock has used the {most} minutes that the charter allows for pauses"
            ));
        }
        let at = at.max(self.running_since);
        let remaining_ms = self.time(work).between(at, self.due_at);
        let (until, mode) = due(self.mode, work, at, limit_ms);
        let (due_at, _) = due(mode, work, until, remaining_ms);
        Ok(ClockEvent::Paused {
            id: self.id,
            at,
            reason: reason.to_owned(),
            until,
            limit_ms,
            remaining_ms,
            due_at,
        })
    }

    /// Lets the time count again, at the latest from the end of the longest pause. None if it was not paused.
    pub fn resume(&self, at: Instant, work: WorkingTime) -> Option<ClockEvent> {
        let pause = self.pause.as_ref()?;
        self.lapse(at).or_else(|| {
            let at = at.max(pause.at);
            let paused_ms = self.time(work).between(pause.at, at).min(pause.limit_ms);
            let (due_at, mode) = due(self.mode, work, at, pause.remaining_ms);
            Some(ClockEvent::Resumed { id: self.id, at, paused_ms, mode, due_at })
        })
    }

    /// An act that keeps the promise, whenever it is reported: the earliest one counts. In time, it also turns a
    /// breach into MET; too late, it breaches a clock that was still running and is recorded. An act from before the
    /// start keeps no promise.
    pub fn meet(&self, occurred_at: Instant) -> Vec<ClockEvent> {
        let (id, at) = (self.id, occurred_at);
        let earlier = at >= self.started_at && self.met_at.is_none_or(|met| at < met);
        match self.state {
            _ if !earlier => vec![],
            ClockState::Running | ClockState::Paused => {
                let mut events = self.catch_up(at);
                events.push(ClockEvent::Met { id, at });
                events
            }
            ClockState::Breached if at > self.due_at => vec![ClockEvent::Met { id, at }],
            ClockState::Met | ClockState::Breached => vec![ClockEvent::Corrected { id, at }],
            ClockState::Cancelled => vec![],
        }
    }

    /// What time alone did until `now`: it ends a pause at its maximum and breaches what is overdue, each once and
    /// dated to the moment itself, however late the caller is.
    pub fn catch_up(&self, now: Instant) -> Vec<ClockEvent> {
        let open = matches!(self.state, ClockState::Running | ClockState::Paused);
        let breach =
            (open && now > self.due_at).then_some(ClockEvent::Breached { id: self.id, at: self.due_at });
        self.lapse(now).into_iter().chain(breach).collect()
    }

    /// Ends a clock whose promise lost its object. One that was overdue by then breaches instead.
    pub fn cancel(&self, at: Instant) -> Vec<ClockEvent> {
        let mut events = self.catch_up(at);
        let open = matches!(self.state, ClockState::Running | ClockState::Paused);
        if open && at <= self.due_at {
            events.push(ClockEvent::Cancelled { id: self.id, at: at.max(self.started_at) });
        }
        events
    }

    /// When `catch_up` has something to do next; nothing wakes a clock that has ended.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.state {
            ClockState::Running => Some(self.due_at.plus(1)),
            ClockState::Paused => self.pause.as_ref().map(|pause| pause.until),
            ClockState::Met | ClockState::Breached | ClockState::Cancelled => None,
        }
    }

    /// When `percent` of the target is used, as things stand: steps above 100 follow a breach until the promise is
    /// kept. None for a step that already passed in an earlier stretch, and for a clock that waits for nothing.
    /// (clock, percent) names a step for good, so that a repeated notice can be told.
    pub fn step_at(&self, percent: u16, work: WorkingTime) -> Option<Instant> {
        let open = self.state == ClockState::Running
            || (self.state == ClockState::Breached && self.met_at.is_none());
        if !open {
            return None;
        }
        let work = self.time(work);
        let used = self.target_ms.saturating_mul(i64::from(percent)) / 100;
        if percent >= 100 {
            return work.after(self.due_at, used - self.target_ms);
        }
        let used_before = self.target_ms - work.between(self.running_since, self.due_at);
        if used < used_before { None } else { work.after(self.running_since, used - used_before) }
    }

    /// The state after one more event of the same clock. None only if the first event is no start.
    pub fn apply(clock: Option<SlaClock>, event: &ClockEvent) -> Option<SlaClock> {
        let Some(mut clock) = clock else { return started(event) };
        match event.clone() {
            // A clock starts once; a start that is read again changes nothing.
            ClockEvent::Started { .. } => {}
            ClockEvent::Paused { at, reason, until, limit_ms, remaining_ms, due_at, .. } => {
                clock.state = ClockState::Paused;
                clock.due_at = due_at;
                clock.pause = Some(Pause { at, reason, until, limit_ms, remaining_ms });
            }
            ClockEvent::Resumed { at, paused_ms, mode, due_at, .. } => {
                clock.state = ClockState::Running;
                clock.pause = None;
                clock.running_since = at;
                clock.paused_total_ms += paused_ms;
                clock.mode = mode;
                clock.due_at = due_at;
            }
            ClockEvent::Met { at, .. } => {
                if clock.state != ClockState::Breached {
                    clock.state = ClockState::Met;
                }
                clock.pause = None;
                clock.met_at = Some(at);
            }
            ClockEvent::Breached { at, .. } => {
                clock.state = ClockState::Breached;
                clock.pause = None;
                clock.breached_at = Some(at);
            }
            ClockEvent::Corrected { at, .. } => {
                clock.state = ClockState::Met;
                clock.met_at = Some(at);
                clock.corrected = true;
            }
            ClockEvent::Cancelled { at, .. } => {
                clock.state = ClockState::Cancelled;
                clock.pause = None;
                clock.cancelled_at = Some(at);
            }
        }
        Some(clock)
    }

    /// The state after all events of one clock, in the order of the log.
    pub fn fold<'e>(events: impl IntoIterator<Item = &'e ClockEvent>) -> Option<SlaClock> {
        events.into_iter().fold(None, SlaClock::apply)
    }

    /// The end of a pause that lasted as long as it may: the due time was known from its begin.
    fn lapse(&self, now: Instant) -> Option<ClockEvent> {
        let pause = self.pause.as_ref().filter(|pause| now >= pause.until)?;
        let (id, at, paused_ms) = (self.id, pause.until, pause.limit_ms);
        Some(ClockEvent::Resumed { id, at, paused_ms, mode: self.mode, due_at: self.due_at })
    }

    /// A clock that began on the wall clock stays there.
    fn time<'a>(&self, work: WorkingTime<'a>) -> WorkingTime<'a> {
        if self.mode == CalendarMode::WallClock { WorkingTime::Wall } else { work }
    }
}

fn started(event: &ClockEvent) -> Option<SlaClock> {
    let ClockEvent::Started {
        id,
        kind,
        party,
        level,
        cycle,
        subject_owner,
        policy_charter,
        mode,
        at,
        target_ms,
        due_at,
    } = *event
    else {
        return None;
    };
    Some(SlaClock {
        id,
        kind,
        party,
        level,
        state: ClockState::Running,
        cycle,
        subject_owner,
        policy_charter,
        mode,
        started_at: at,
        running_since: at,
        target_ms,
        due_at,
        pause: None,
        paused_total_ms: 0,
        met_at: None,
        breached_at: None,
        cancelled_at: None,
        corrected: false,
    })
}

/// The due time and the mode that it was found in.
fn due(mode: CalendarMode, work: WorkingTime, at: Instant, ms: i64) -> (Instant, CalendarMode) {
    let hours = match work {
        WorkingTime::Hours { .. } if mode != CalendarMode::WallClock => work.after(at, ms),
        _ => None,
    };
    hours.map_or((at.plus(ms), CalendarMode::WallClock), |due_at| (due_at, mode))
}
