//! What the reader asked for, in the address.

use url::form_urlencoded::{Serializer, parse};

use crate::engine::PolicyStatus;

/// The longest search.
const LONGEST: usize = 100;

/// Which policies are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web) enum Show {
    /// All of them.
    #[default]
    All,
    /// Those that wait for a person.
    Held,
    /// Those with a rotation under way that is not held.
    Open,
    /// Those without.
    Idle,
}

impl Show {
    /// In the order of the page.
    pub(super) const ALL: [Self; 4] = [Self::All, Self::Held, Self::Open, Self::Idle];

    /// As it stands in the address.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Held => "held",
            Self::Open => "open",
            Self::Idle => "idle",
        }
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Held => "Held",
            Self::Open => "Under way",
            Self::Idle => "Idle",
        }
    }

    /// Whether a policy is among them.
    pub(super) fn takes(self, status: &PolicyStatus) -> bool {
        self == Self::All || self == Self::of(status)
    }

    /// Where a policy belongs.
    pub(super) fn of(status: &PolicyStatus) -> Self {
        match (&status.held, status.phase.as_str()) {
            (Some(_), _) => Self::Held,
            (None, "idle") => Self::Idle,
            (None, _) => Self::Open,
        }
    }
}

/// In which order idle policies are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::web) enum Order {
    /// By name.
    #[default]
    Name,
    /// The next date first.
    Due,
    /// The oldest key first.
    Age,
}

impl Order {
    /// As it stands in the address.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Due => "due",
            Self::Age => "age",
        }
    }
}

/// What the reader asked for. What is not known is as if it were not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Asked {
    /// Which policies.
    pub show: Show,
    /// In which order.
    pub order: Order,
    /// A part of the name or of the provider's.
    pub search: String,
    /// The page, from 1; 0 counts as 1.
    pub page: usize,
    /// The browser is to ask again by itself.
    pub refresh: bool,
}

impl Asked {
    /// Reads a query.
    pub(in crate::web) fn parse(query: &str) -> Self {
        let mut asked = Self::default();
        for (key, value) in parse(query.as_bytes()) {
            match key.as_ref() {
                "show" => asked.show = Show::ALL.into_iter().find(|show| show.label() == value).unwrap_or_default(),
                "sort" => {
                    let known = [Order::Name, Order::Due, Order::Age];
                    asked.order = known.into_iter().find(|order| order.label() == value).unwrap_or_default();
                }
                "q" => asked.search = value.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect(),
                "page" => asked.page = value.parse().unwrap_or(1),
                "refresh" => asked.refresh = value == "60",
                _ => {}
            }
        }
        asked
    }

    /// The address that asks for this.
    pub(super) fn href(&self) -> String {
        let mut query = Serializer::new(String::new());
        if self.show != Show::default() {
            query.append_pair("show", self.show.label());
        }
        if self.order != Order::default() {
            query.append_pair("sort", self.order.label());
        }
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if self.page > 1 {
            query.append_pair("page", &self.page.to_string());
        }
        if self.refresh {
            query.append_pair("refresh", "60");
        }
        let query = query.finish();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    /// Whether a policy is found by the search.
    pub(super) fn finds(&self, status: &PolicyStatus) -> bool {
        let search = self.search.to_lowercase();
        search.is_empty() || status.policy.to_lowercase().contains(&search) || status.provider.to_lowercase().contains(&search)
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Order, Show};

    #[test]
    fn an_address_asks_for_what_it_was_made_of() {
        let asked = Asked { show: Show::Held, order: Order::Age, search: "a&b=<c>".into(), page: 3, refresh: true };
        let href = asked.href();
        assert_eq!(href, "/?show=held&sort=age&q=a%26b%3D%3Cc%3E&page=3&refresh=60");
        assert_eq!(Asked::parse(href.strip_prefix("/?").unwrap()), asked);
        assert_eq!(Asked::default().href(), "/");
    }

    #[test]
    fn what_is_not_known_is_as_if_it_were_not_there() {
        for query in ["show=x&sort=y&page=-1&refresh=1&z=1", "%ff=%ff", "&&&===", "page=99999999999999999999"] {
            let asked = Asked::parse(query);
            assert_eq!(Asked { page: 0, ..asked }, Asked::default(), "{query}");
        }
        assert_eq!(Asked::parse(&format!("q={}", "x".repeat(9_000))).search.len(), 100);
    }
}
