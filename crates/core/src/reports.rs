//! What parts of a pipeline report about themselves when somebody asks: whatever numbers cannot say, as JSON.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::panicked;

/// Largest number of reports; further ones are not shown.
pub const MAX_REPORTS: usize = 1_000;

/// Largest report, in bytes of its text; a larger one is shown as an error.
pub const MAX_REPORT_BYTES: usize = 1024 * 1024;

type Reporter = Arc<dyn Fn() -> String + Send + Sync>;

/// Who reports. Copies share it.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<BTreeMap<String, Reporter>>>);

/// One report at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who reports.
    pub name: String,
    /// The text of one JSON value; or why there is none: it panicked, or the text is too long.
    pub json: Result<String, String>,
}

impl Reports {
    /// Calls `report` whenever somebody asks, until the handle is dropped. What it returns prints as one JSON value (as
    /// `serde_json::Value` does) and holds nothing secret. It must not block for long, and should hold what it reports
    /// about weakly: as long as the handle lives, so does `report`.
    ///
    /// The name says who reports, such as `gateway`; from the second one of a name on with a number: `gateway-2`.
    pub fn add<J: fmt::Display>(&self, name: &str, report: impl Fn() -> J + Send + Sync + 'static) -> ReportHandle {
        let reporter: Reporter = Arc::new(move || report().to_string());
        let mut reporters = self.lock();
        if reporters.len() >= MAX_REPORTS {
            log::warn!("{MAX_REPORTS} reports are shown, and not that of '{name}'");
            return ReportHandle(None);
        }
        let mut unique = name.to_owned();
        let mut number = 1;
        loop {
            match reporters.entry(unique) {
                Entry::Vacant(entry) => {
                    let added = ReportHandle(Some((self.clone(), entry.key().clone())));
                    entry.insert(reporter);
                    return added;
                }
                Entry::Occupied(_) => {
                    number += 1;
                    unique = format!("{name}-{number}");
                }
            }
        }
    }

    /// All reports as of now, by name. Calls those who report, one after the other.
    pub fn collect(&self) -> Vec<Report> {
        let reporters: Vec<_> = self.lock().iter().map(|(name, reporter)| (name.clone(), reporter.clone())).collect();
        reporters.into_iter().map(|(name, reporter)| Report { json: ask(&name, &reporter), name }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Reporter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

/// A report that is shown until this is dropped.
#[derive(Debug)]
#[must_use = "the report is taken back when this is dropped"]
pub struct ReportHandle(Option<(Reports, String)>);

impl Drop for ReportHandle {
    fn drop(&mut self) {
        if let Some((reports, name)) = self.0.take() {
            // Dropped outside the lock: what it holds may hold handles itself.
            let reporter = reports.lock().remove(&name);
            drop(reporter);
        }
    }
}

fn ask(name: &str, reporter: &Reporter) -> Result<String, String> {
    let json = std::panic::catch_unwind(AssertUnwindSafe(|| reporter()))
        .map_err(|panic| panicked(&format!("the report of {name}"), &*panic).to_string())?;
    let bytes = json.len();
    if bytes > MAX_REPORT_BYTES {
        return Err(format!("the report of {name} has {bytes} bytes, more than {MAX_REPORT_BYTES}"));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn names(reports: &Reports) -> Vec<String> {
        reports.collect().into_iter().map(|report| report.name).collect()
    }

    #[test]
    fn a_report_is_made_when_somebody_asks_and_ends_with_its_handle() {
        let reports = Reports::default();
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let handle = reports.clone().add("hub", move || count.fetch_add(1, Ordering::Relaxed));
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert_eq!(reports.collect(), [Report { name: "hub".to_owned(), json: Ok("0".to_owned()) }]);
        assert_eq!(reports.collect()[0].json, Ok("1".to_owned()));
        drop(handle);
        assert_eq!(reports.collect(), []);
    }

    #[test]
    fn reports_of_the_same_name_are_numbered() {
        let reports = Reports::default();
        let first = reports.add("hub", || 1);
        let _second = reports.add("hub", || 2);
        assert_eq!(names(&reports), ["hub", "hub-2"]);
        drop(first);
        assert_eq!(names(&reports), ["hub-2"]);
        let _third = reports.add("hub", || 3);
        assert_eq!(names(&reports), ["hub", "hub-2"]);
    }

    #[test]
    fn a_panic_is_contained_and_the_other_reports_are_there() {
        let reports = Reports::default();
        let _broken = reports.add("a", || -> u8 { panic!("broken") });
        let _works = reports.add("b", || 2);
        let collected = reports.collect();
        assert_eq!(collected[0].json.clone().unwrap_err(), "the report of a panicked: broken");
        assert_eq!(collected[1].json, Ok("2".to_owned()));
    }

    #[test]
    fn size_and_number_are_bounded() {
        let reports = Reports::default();
        let handles: Vec<_> = (0..MAX_REPORTS + 1).map(|number| reports.add(&number.to_string(), || 1)).collect();
        assert_eq!(names(&reports).len(), MAX_REPORTS);
        drop(handles);
        let _large = reports.add("large", || "1".repeat(MAX_REPORT_BYTES + 1));
        assert!(reports.collect()[0].json.is_err());
    }

    #[test]
    fn a_report_may_ask_for_the_reports_of_others() {
        let reports = Reports::default();
        let copy = reports.clone();
        let _handle = reports.add("names", move || copy.lock().len());
        assert_eq!(reports.collect()[0].json, Ok("1".to_owned()));
    }
}
