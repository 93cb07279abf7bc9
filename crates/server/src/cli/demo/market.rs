//! What marketing does in the season: campaigns with their windows, costs and content, and the words of the market.

use handfast_domain::stage::Channel;

pub struct Campaign {
    pub key: &'static str,
    pub name: &'static str,
    pub kind: &'static str,
    pub channel: Channel,
    /// Lead source as the website writes it.
    pub source: &'static str,
    /// Euros.
    pub cost: i64,
    /// Days of the season.
    pub days: (i64, i64),
    /// How many leads it brings, relative to the others.
    pub weight: f64,
    /// What it adds to the interest of those whom it brings.
    pub pull: f64,
    pub content: &'static [&'static str],
}

#[expect(
    clippy::too_many_arguments,
    reason = "a table with a line for each campaign reads better than twenty structs"
)]
const fn campaign(
    key: &'static str,
    name: &'static str,
    kind: &'static str,
    channel: Channel,
    source: &'static str,
    cost: i64,
    days: (i64, i64),
    weight: f64,
    pull: f64,
    content: &'static [&'static str],
) -> Campaign {
    Campaign { key, name, kind, channel, source, cost, days, weight, pull, content }
}

use Channel::*;

#[rustfmt::skip]
pub static CAMPAIGNS: [Campaign; 20] = [
    campaign("search-brand", "Search: our own name", "search-ads", PaidSearch, "paid_search", 9_000, (0, 90), 8.0, 0.10, &["pricing", "product-page"]),
    campaign("search-picking-robots", "Search: picking robots", "search-ads", PaidSearch, "paid_search", 31_000, (0, 90), 11.0, 0.0, &["product-page", "guide-picking"]),
    campaign("guides", "Guides that search engines find", "content-hub", OrganicSearch, "organic_search", 12_000, (0, 90), 14.0, 0.0, &["guide-picking", "guide-safety", "guide-payback"]),
    campaign("posts-for-operations", "Sponsored posts for operations", "social-ads", PaidSocial, "paid_social", 18_000, (10, 60), 7.0, -0.08, &["video-tour", "guide-picking"]),
    campaign("company-posts", "Company posts", "social", OrganicSocial, "social", 3_000, (0, 90), 4.0, -0.05, &["video-tour", "customer-story"]),
    campaign("monthly-letter", "Monthly letter", "newsletter", Email, "email", 4_000, (0, 90), 5.0, 0.05, &["newsletter", "customer-story"]),
    campaign("come-back", "Come back and see it move", "retargeting", Retargeting, "retargeting", 7_500, (5, 90), 3.0, 0.05, &["video-tour", "product-page"]),
    campaign("trade-press", "Banners in the trade press", "banner", Display, "display", 14_000, (20, 50), 4.0, -0.12, &["product-page"]),
    campaign("paper-people-and-robots", "Paper: people and robots", "white-paper", Content, "content", 6_000, (0, 45), 6.0, 0.0, &["paper-people-and-robots"]),
    campaign("paper-payback", "Paper: payback in twelve months", "white-paper", Content, "content", 6_500, (40, 90), 7.0, 0.05, &["paper-payback"]),
    campaign("webinar-pick-rates", "Webinar: pick rates", "webinar", Webinar, "webinar", 3_500, (14, 21), 4.0, 0.12, &["webinar-pick-rates"]),
    campaign("webinar-integration", "Webinar: connecting the warehouse system", "webinar", Webinar, "webinar", 3_500, (42, 49), 4.0, 0.12, &["webinar-integration"]),
    campaign("webinar-customer", "Webinar: a customer tells", "webinar", Webinar, "webinar", 4_000, (70, 77), 4.0, 0.15, &["webinar-customer"]),
    campaign("fair-intralogistics", "Fair: Intralogistics Example", "fair", Event, "event", 42_000, (28, 32), 8.0, 0.10, &["booth-talk", "demo-request"]),
    campaign("fair-automation", "Fair: Automation Sample", "fair", Event, "event", 38_000, (63, 67), 8.0, 0.10, &["booth-talk", "demo-request"]),
    campaign("roadshow-north", "Road show in the north", "road-show", Event, "event", 16_000, (74, 86), 3.0, 0.15, &["live-demo"]),
    campaign("recommend-us", "Recommend us", "referral-programme", Referral, "referral", 5_000, (0, 90), 3.0, 0.25, &["customer-story", "demo-request"]),
    campaign("integrators", "System integrators", "partner-programme", Partner, "partner", 9_500, (0, 90), 4.0, 0.12, &["partner-brief"]),
    campaign("automotive-suppliers", "Letters to automotive suppliers", "outbound", Outbound, "outbound", 8_000, (30, 80), 5.0, -0.10, &["letter", "customer-story"]),
    campaign("demo-tour", "Book a tour", "landing-page", Direct, "direct_traffic", 2_500, (0, 90), 6.0, 0.20, &["demo-request", "video-tour"]),
];

/// What the charter calls an act of high intent.
pub const HIGH_INTENT: [&str; 3] = ["demo-request", "pricing", "live-demo"];

/// Touches after the capture: channel, content, and the campaign that they belong to.
pub static NURTURE: [(Channel, &str, Option<&str>, f64); 14] = [
    (Email, "newsletter", Some("monthly-letter"), 6.0),
    (Email, "customer-story", Some("monthly-letter"), 3.0),
    (Content, "guide-safety", None, 3.0),
    (Content, "guide-payback", None, 3.0),
    (Content, "paper-payback", Some("paper-payback"), 2.0),
    (Direct, "product-page", None, 5.0),
    (OrganicSearch, "guide-picking", Some("guides"), 3.0),
    (Retargeting, "video-tour", Some("come-back"), 3.0),
    (OrganicSocial, "customer-story", Some("company-posts"), 2.0),
    (Webinar, "webinar-pick-rates", Some("webinar-pick-rates"), 1.0),
    (Webinar, "webinar-integration", Some("webinar-integration"), 1.0),
    (Webinar, "webinar-customer", Some("webinar-customer"), 1.0),
    (Event, "booth-talk", Some("fair-automation"), 0.7),
    (PaidSearch, "product-page", Some("search-brand"), 1.5),
];

/// Title, seniority, department, how often, and how much sales likes to hear from them.
pub static ROLES: [(&str, &str, &str, f64, f64); 14] = [
    ("Chief Operating Officer", "C_LEVEL", "operations", 3.0, 1.0),
    ("Chief Financial Officer", "C_LEVEL", "finance", 2.0, 0.75),
    ("Founder", "C_LEVEL", "management", 3.0, 0.55),
    ("VP Supply Chain", "VP", "logistics", 3.0, 0.95),
    ("Director of Operations", "DIRECTOR", "operations", 6.0, 0.9),
    ("Head of Logistics", "DIRECTOR", "logistics", 7.0, 0.85),
    ("Warehouse Manager", "MANAGER", "logistics", 10.0, 0.65),
    ("Plant Manager", "MANAGER", "operations", 8.0, 0.65),
    ("IT Manager", "MANAGER", "it", 7.0, 0.5),
    ("Automation Engineer", "STAFF", "engineering", 10.0, 0.4),
    ("Process Engineer", "STAFF", "engineering", 8.0, 0.35),
    ("Buyer", "STAFF", "purchasing", 6.0, 0.3),
    ("Shift Lead", "STAFF", "logistics", 5.0, 0.2),
    ("Student, intern in logistics", "STAFF", "engineering", 3.0, 0.0),
];

/// Industry, how often, and how well our robots suit it.
pub static INDUSTRIES: [(&str, f64, f64); 8] = [
    ("logistics", 8.0, 1.0),
    ("retail", 6.0, 0.85),
    ("food", 5.0, 0.75),
    ("automotive", 5.0, 0.7),
    ("manufacturing", 9.0, 0.7),
    ("healthcare", 3.0, 0.4),
    ("software", 4.0, 0.05),
    ("education", 3.0, 0.0),
];

/// Country, region and how often. The last ones lie in no territory.
pub static COUNTRIES: [(&str, &str, f64); 12] = [
    ("DE", "dach", 24.0),
    ("AT", "dach", 6.0),
    ("CH", "dach", 6.0),
    ("GB", "uk", 22.0),
    ("IE", "uk", 5.0),
    ("SE", "nordics", 9.0),
    ("NO", "nordics", 5.0),
    ("DK", "nordics", 6.0),
    ("FI", "nordics", 5.0),
    ("NL", "elsewhere", 4.0),
    ("FR", "elsewhere", 4.0),
    ("PL", "elsewhere", 3.0),
];

pub static FIRST_NAMES: [&str; 48] = [
    "Ada", "Alan", "Aino", "Bela", "Bruno", "Carla", "Cyril", "Dagny", "Dora", "Edgar", "Elsa", "Emil",
    "Fadi", "Fiona", "Georg", "Greta", "Hanna", "Hugo", "Ines", "Ivar", "Jana", "Jonas", "Karin", "Kofi",
    "Lena", "Leo", "Mara", "Mikko", "Nadia", "Nils", "Olga", "Oscar", "Paula", "Per", "Quinn", "Rosa",
    "Ruben", "Saga", "Selim", "Thea", "Tove", "Ulf", "Vera", "Viggo", "Wanda", "Yara", "Yngve", "Zoe",
];

/// Nobody is called so: whoever sees a name knows that it is made up.
pub static LAST_NAMES: [&str; 16] = [
    "Example",
    "Sample",
    "Beispiel",
    "Muster",
    "Eksempel",
    "Exempel",
    "Malli",
    "Specimen",
    "Placeholder",
    "Fiction",
    "Mockup",
    "Testcase",
    "Fixture",
    "Dummy",
    "Prototype",
    "Imaginary",
];

pub static COMPANY_FIRST: [&str; 40] = [
    "Amber", "Birch", "Blue", "Bright", "Cedar", "Clear", "Copper", "Coral", "Delta", "East", "Ember",
    "Falcon", "Fern", "Flint", "Glen", "Gold", "Granite", "Green", "Harbour", "Hazel", "Heron", "Iron",
    "Juniper", "Lake", "Lark", "Linden", "Maple", "Meadow", "North", "Oak", "Olive", "Pine", "Quartz",
    "River", "Silver", "Slate", "South", "Stone", "Willow", "Winter",
];

/// A second word for each industry, in the order of `INDUSTRIES`.
pub static COMPANY_SECOND: [[&str; 3]; 8] = [
    ["Logistics", "Freight", "Warehousing"],
    ["Retail", "Stores", "Outfitters"],
    ["Foods", "Dairy", "Bakeries"],
    ["Motors", "Axles", "Seating"],
    ["Works", "Machines", "Tools"],
    ["Clinics", "Pharma", "Care"],
    ["Software", "Cloud", "Data"],
    ["College", "Academy", "School"],
];
