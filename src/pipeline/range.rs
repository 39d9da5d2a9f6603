//! Which stages a run does. What those before would have made is taken as it stands, and looked at first.

use std::future::Future;

use serde::{Deserialize, Serialize};

use super::STAGES;
use crate::failure::{Fault, Stage};

/// The stages that a run may begin with, or be: the others find out what these need.
pub const CHOICES: [Stage; 7] = *STAGES.last_chunk().unwrap();

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub first: Stage,
    pub last: Stage,
}

impl Default for Range {
    fn default() -> Self {
        Range {
            first: Stage::Bundle,
            last: Stage::Finish,
        }
    }
}

impl Range {
    pub fn from(first: Stage) -> Self {
        Range {
            first,
            ..Range::default()
        }
    }

    pub fn only(stage: Stage) -> Self {
        Range {
            first: stage,
            last: stage,
        }
    }

    pub fn is_whole(self) -> bool {
        self == Range::default()
    }

    pub fn does(self, stage: Stage) -> bool {
        (self.first..=self.last).contains(&stage)
    }

    /// The stages that are gone through, done or looked at.
    pub fn stages(self) -> Vec<Stage> {
        let through = |stage: &Stage| *stage <= self.last;
        super::STAGES.into_iter().filter(through).collect()
    }
}

/// Looks whether what a stage left out would have made is there.
pub async fn standing<T>(
    stage: Stage,
    look: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    look.await.map_err(|fault| {
        let error = anyhow::anyhow!(
            "{:#}; stage {stage} was left out, so begin with it: --from {stage}",
            fault.error
        );
        Fault { error, ..fault }
    })
}
