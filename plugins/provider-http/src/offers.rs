//! What a provider offers to choose from: graces and lifetimes.

use cutover_api::{Node, Reader, Span, Value};
use cutover_machine::plan::GraceOffer;
use cutover_machine::time::typed;

/// `declares.grace`: the offer, and what the provider itself calls each choice.
#[derive(Clone, Debug)]
pub(crate) struct Grace {
    /// The offer as the machine sees it.
    pub(crate) offer: GraceOffer,
    /// The provider's value of each choice, where the definition gives a table of them.
    values: Vec<(Span, serde_json::Value)>,
}

impl Grace {
    /// Reads `declares.grace`.
    pub(crate) fn load(declares: &Reader<'_>) -> Option<Self> {
        let table = declares.table("grace")?;
        let forms = ["fixed", "choices", "min"];
        let said: Vec<_> = forms.iter().filter(|form| table.has(form)).collect();
        for key in ["fixed", "choices", "min", "max", "unit"] {
            table.known(key);
        }
        table.finish();
        let one = "exactly one of { fixed = SPAN }, { choices = [SPAN, …] } or { min = SPAN, max = SPAN, unit = SPAN }";
        if said.len() != 1 {
            declares.wrong("grace", format!("says {} of its three forms", said.len()), one);
            return None;
        }
        if !table.has("min") && (table.has("max") || table.has("unit")) {
            declares.wrong("grace", "mixes its forms", one);
            return None;
        }
        let plain = |offer| Some(Self { offer, values: Vec::new() });
        if table.has("fixed") {
            return plain(GraceOffer::Fixed(table.span("fixed")?));
        }
        if table.has("choices") { choices(&table) } else { plain(range(&table)?) }
    }

    /// `grace.choice`: the provider's own value of a choice, else the span as it is typed.
    pub(crate) fn choice(&self, span: Span) -> serde_json::Value {
        let own = self.values.iter().find(|(of, _)| *of == span).map(|(_, value)| value.clone());
        own.unwrap_or_else(|| typed(span).into())
    }
}

fn range(table: &Reader<'_>) -> Option<GraceOffer> {
    for key in ["max", "unit"] {
        if !table.has(key) {
            table.wrong(key, "missing", "a range has min, max and unit");
        }
    }
    let (min, max, unit) = (table.span("min"), table.span("max"), table.span("unit"));
    let (min, max, unit) = (min?, max?, unit?);
    if unit == Span::ZERO {
        table.wrong("unit", "is no time at all", "the step the provider counts in, \"1h\" say");
        return None;
    }
    if max < min {
        table.wrong("max", "is shorter than min", "at least as long as min");
        return None;
    }
    Some(GraceOffer::Range { min, max, unit })
}

fn choices(table: &Reader<'_>) -> Option<Grace> {
    let right = "[SPAN, …] or { SPAN = PROVIDER_VALUE, … }, at least one";
    let mut values = Vec::new();
    let mut spans = match table.node("choices").map(|node| &node.value) {
        Some(Value::Array(items)) => items.iter().map(|item| span_of(table, item)).collect::<Option<Vec<_>>>()?,
        Some(Value::Table(named)) => {
            for (span, entry) in &named.entries {
                let Ok(span) = Span::parse(span) else {
                    table.wrong("choices", format!("\"{span}\" is not a span"), "spans such as \"15m\", \"24h\"");
                    return None;
                };
                if matches!(entry.node.value, Value::Table(_) | Value::Array(_)) {
                    table.wrong(
                        "choices",
                        format!("a choice is {}", entry.node.value.kind()),
                        "a string, a number or a boolean",
                    );
                    return None;
                }
                values.push((span, entry.node.to_json()));
            }
            values.iter().map(|(span, _)| *span).collect()
        }
        _ => {
            table.wrong("choices", "is neither an array nor a table", right);
            return None;
        }
    };
    spans.sort_unstable();
    if spans.is_empty() {
        table.wrong("choices", "is empty", right);
        return None;
    }
    if spans.windows(2).any(|pair| pair[0] == pair[1]) {
        table.wrong("choices", "names one span twice", "each span once");
        return None;
    }
    Some(Grace { offer: GraceOffer::Choices(spans), values })
}

fn span_of(table: &Reader<'_>, item: &Node) -> Option<Span> {
    let text = match &item.value {
        Value::Text(text) => text.as_str(),
        other => {
            table.problems().add(
                &item.place,
                table.path_of("choices"),
                format!("holds {}", other.kind()),
                "spans such as \"15m\"",
            );
            return None;
        }
    };
    match Span::parse(text) {
        Ok(span) => Some(span),
        Err(error) => {
            table.problems().add(&item.place, table.path_of("choices"), format!("\"{text}\" is not a span"), error.to_string());
            None
        }
    }
}

/// `declares.lifetime`: how long a new key can be asked to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    max: Option<Span>,
    unit: Span,
    default: Option<Span>,
}

impl Lifetime {
    /// Reads `declares.lifetime`.
    pub(crate) fn load(declares: &Reader<'_>) -> Option<Self> {
        let table = declares.table("lifetime")?;
        let (max, unit, default) = (table.span("max"), table.span("unit"), table.span("default"));
        table.finish();
        if unit == Some(Span::ZERO) {
            table.wrong("unit", "is no time at all", "the step the provider counts in, \"1d\" say");
            return None;
        }
        if let (Some(max), Some(default)) = (max, default)
            && default > max
        {
            table.wrong("default", "is longer than max", "at most max");
            return None;
        }
        Some(Self { max, unit: unit.unwrap_or(Span::SECOND), default })
    }

    /// What is asked for when a policy wants `wanted`: never longer, in the provider's steps. Shorter than one step is one step,
    /// because no time at all would be a key that is born dead or, at many providers, one that never dies.
    pub(crate) fn rounded(self, wanted: Option<Span>) -> Option<Span> {
        let wanted = wanted.or(self.default)?;
        let wanted = self.max.map_or(wanted, |max| wanted.min(max));
        Some(Span((wanted.0 / self.unit.0 * self.unit.0).max(self.unit.0)))
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::{Problems, Reader, Span, Table};
    use cutover_machine::plan::GraceOffer;

    use super::{Grace, Lifetime};

    fn grace(text: &str) -> Result<Grace, String> {
        let table = Table::parse("x", text).expect("TOML");
        let problems = Problems::default();
        let grace = Grace::load(&Reader::new(&table, "declares", &problems));
        grace.ok_or_else(|| problems.take().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    fn lifetime(text: &str) -> Option<Lifetime> {
        let table = Table::parse("x", text).expect("TOML");
        Lifetime::load(&Reader::new(&table, "declares", &Problems::default()))
    }

    #[test]
    fn a_choice_is_said_in_the_providers_words() {
        let named = grace("grace = { choices = { \"1h\" = \"ONE_HOUR\", \"0s\" = 0 } }").expect("sound");
        assert_eq!(named.offer, GraceOffer::Choices(vec![Span::ZERO, Span::HOUR]));
        assert_eq!(named.choice(Span::HOUR), "ONE_HOUR");
        assert_eq!(named.choice(Span::ZERO), 0);
        let plain = grace("grace = { choices = [\"7d\", \"15m\"] }").expect("sound");
        assert_eq!(plain.offer, GraceOffer::Choices(vec![Span::minutes(15), Span(7 * Span::DAY.0)]));
        assert_eq!(plain.choice(Span::minutes(15)), "15m");
    }

    #[test]
    fn a_range_counts_in_its_unit() {
        let range = grace("grace = { min = \"0s\", max = \"168h\", unit = \"1h\" }").expect("sound");
        assert_eq!(range.offer.mapped(Span::minutes(61)), Some(Span::hours(2)));
        assert_eq!(range.offer.mapped(Span::hours(169)), None);
    }

    #[test]
    fn what_is_no_offer_is_refused() {
        for text in [
            "grace = {}",
            "grace = { fixed = \"1h\", choices = [\"1h\"] }",
            "grace = { fixed = \"1h\", max = \"2h\" }",
            "grace = { choices = [] }",
            "grace = { choices = [\"1h\", \"60m\"] }",
            "grace = { choices = [1] }",
            "grace = { choices = { soon = 1 } }",
            "grace = { choices = { \"1h\" = [1] } }",
            "grace = { min = \"1h\" }",
            "grace = { min = \"1h\", max = \"2h\", unit = \"0s\" }",
            "grace = { min = \"3h\", max = \"2h\", unit = \"1h\" }",
        ] {
            assert!(grace(text).is_err_and(|said| said.contains("declares.grace")), "{text}");
        }
    }

    #[test]
    fn a_lifetime_is_rounded_down_but_never_to_nothing() {
        let days = lifetime("lifetime = { max = \"365d\", unit = \"1d\", default = \"90d\" }").expect("sound");
        assert_eq!(days.rounded(Some(Span::hours(49))), Some(Span::hours(48)));
        assert_eq!(days.rounded(Some(Span::hours(9_999_999))), Some(Span::hours(365 * 24)));
        assert_eq!(days.rounded(Some(Span::HOUR)), Some(Span::DAY));
        assert_eq!(days.rounded(None), Some(Span::hours(90 * 24)));
        assert_eq!(lifetime("lifetime = {}").expect("sound").rounded(None), None);
        assert_eq!(lifetime("lifetime = { max = \"1d\", default = \"2d\" }"), None);
    }
}
