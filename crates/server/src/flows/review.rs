//! The weekly meeting: its agenda is read from what happened, its decisions are kept.

use handfast_domain::calendar::Date;
use handfast_domain::feedback::{Feedback, FeedbackStatus};
use handfast_domain::grey_case::{GreyCase, GreyState};
use handfast_domain::refused::Refused;
use handfast_domain::review::{AlignmentReview, ReviewDecision, ReviewMeeting};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::feedback::FeedbackFilter;
use handfast_store::friction::{self, ConflictingTouch, Counted};
use handfast_store::{directory, feedback, grey_case};
use uuid::Uuid;

use super::check::{Checks, words};
use super::commit::Ask;
use super::content::Cell;
use super::{Error, content, document, ledger};
use crate::app::App;

/// Things that one part of an agenda shows.
pub const SHOWN: i64 = 20;
const DECISIONS: usize = 50;
const ATTENDEES: usize = 50;
const MEETINGS: usize = 20;
const WORDS: usize = 1_000;

/// What both managers talk about in a week.
pub struct Agenda {
    /// Its Monday.
    pub week: Date,
    pub from: Instant,
    pub to: Instant,
    pub grey_cases: Vec<GreyCase>,
    pub breaches: Vec<Counted>,
    pub drops: Vec<Counted>,
    pub content_gaps: Vec<Cell>,
    pub unanswered: Vec<Feedback>,
    pub conflicting: Vec<ConflictingTouch>,
    pub review: Option<AlignmentReview>,
    /// Decisions of the newest meeting before this week.
    pub before: Vec<ReviewDecision>,
}

/// The Monday of a day's week, and when the week begins and ends in the charter's time zone.
fn week_of(app: &App, day: Option<Date>) -> (Date, Instant, Instant) {
    let workspace = app.workspace();
    let day = day.map_or_else(|| workspace.day(app.now()), Date::days);
    // 1970-01-01 was a Thursday.
    let monday = day - (day + 3).rem_euclid(7);
    let begin = |day: i32| ledger::begin(&workspace, day);
    let week = Date::from_days(monday).unwrap_or(Date(Default::default()));
    (week, begin(monday), begin(monday + 7))
}

/// What happened in the week of a day, this week without one, and what is open now.
pub async fn agenda(app: &App, day: Option<Date>) -> Result<Agenda, Error> {
    let (week, from, to) = week_of(app, day);
    let (db, reports) = (app.store.read(), app.store.reports());
    let open = FeedbackFilter { status: Some(FeedbackStatus::Open), ..FeedbackFilter::default() };
    let mut content_gaps = content::matrix(app).await?;
    content_gaps.retain(Cell::gap);
    let reviews = directory::all::<AlignmentReview>(db).await?;
    let key = week.to_string();
    // The order of keys is that of days.
    let before = reviews.iter().filter(|review| review.key < key).max_by(|a, b| a.key.cmp(&b.key));
    let before = before.and_then(|review| review.meetings.last()).map(|meeting| meeting.decisions.clone());
    Ok(Agenda {
        week,
        from,
        to,
        grey_cases: grey_case::page(db, Some(GreyState::Open), None, None, None, SHOWN).await?,
        breaches: friction::breaches(reports, (from, to)).await?,
        drops: friction::drops(reports, (from, to)).await?,
        content_gaps,
        unanswered: feedback::page(db, &open, None, SHOWN).await?,
        conflicting: friction::conflicts(reports, (from, to), None, SHOWN).await?,
        review: reviews.iter().find(|review| review.key == key).cloned(),
        before: before.unwrap_or_default(),
    })
}

/// The newest weeks with their meetings.
pub async fn reviews(app: &App, limit: usize) -> Result<Vec<AlignmentReview>, Error> {
    let mut all = directory::all::<AlignmentReview>(app.store.read()).await?;
    all.sort_by(|a, b| b.key.cmp(&a.key));
    all.truncate(limit);
    Ok(all)
}

/// A decision as it is told: text, key of its owner, and until when.
pub type Decided = (String, Option<String>, Option<Instant>);

/// Keeps what was decided at a meeting, to which people of both sides came.
pub async fn record(
    app: &App,
    ask: &Ask<'_>,
    day: Option<Date>,
    attendees: Vec<String>,
    decisions: Vec<Decided>,
    charter_reviewed: bool,
) -> Result<AlignmentReview, Error> {
    ask.viewer.party("record reviews")?;
    let workspace = app.workspace();
    let users = &workspace.directory.users;
    let known = || users.iter().map(|user| user.key.as_str());
    let mut checks = Checks::default();
    checks.need((1..=ATTENDEES).contains(&attendees.len()), "attendees", || {
        format!("1 to {ATTENDEES} people, found {}", attendees.len())
    });
    for (place, key) in attendees.iter().take(ATTENDEES).enumerate() {
        checks.exists(&format!("attendees/{place}"), "user", key, known());
    }
    let came: Vec<_> = users.iter().filter(|user| attendees.contains(&user.key)).collect();
    for side in [Side::Marketing, Side::Sales] {
        checks.need(came.iter().any(|user| user.side == side && !user.service), "attendees", || {
            format!("nobody of {side} was there; a review is a meeting of both sides")
        });
    }
    checks.need((1..=DECISIONS).contains(&decisions.len()), "decisions", || {
        format!("1 to {DECISIONS} decisions, found {}", decisions.len())
    });
    let mut kept = vec![];
    for (place, (text, owner, due_at)) in decisions.into_iter().take(DECISIONS).enumerate() {
        let text = words(&mut checks, &format!("decisions/{place}/text"), &text, WORDS);
        if let Some(owner) = &owner {
            checks.exists(&format!("decisions/{place}/owner"), "user", owner, known());
        }
        let owner = owner.and_then(|key| users.iter().find(|user| user.key == key)).map(|user| user.id);
        kept.push(ReviewDecision { text, owner, due_at });
    }
    checks.done()?;
    if charter_reviewed && workspace.charter.unsigned() {
        let message = "charter 0 is a default that nobody signed: there is none to go through";
        return Err(Refused::invalid("input/charterReviewed", message).into());
    }
    let people = came.iter().filter(|user| !user.service).map(|user| (user.side, user.id)).collect();
    let attendees: Vec<Uuid> = came.iter().map(|user| user.id).collect();
    let (recorded_by, recorded_at) = (ask.viewer.id(), app.now());
    let meeting = ReviewMeeting { recorded_by, recorded_at, attendees, decisions: kept };
    let key = week_of(app, day).0.to_string();
    let reviewed_by = charter_reviewed.then_some(people);
    document::put_reviewing(app, ask, reviewed_by, move |all: &[AlignmentReview], id| {
        let before = all.iter().find(|review| review.key == key).cloned();
        let mut review = before.unwrap_or(AlignmentReview { id, key, meetings: vec![] });
        if review.meetings.len() >= MEETINGS {
            let message = format!("a week has at most {MEETINGS} meetings");
            return Err(vec![Refused::invalid("input/week", message)]);
        }
        review.meetings.push(meeting);
        Ok(review)
    })
    .await
}
