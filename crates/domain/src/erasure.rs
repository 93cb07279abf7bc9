//! Erasure: everything that says who a lead was goes, everything that counts stays.

use crate::change::Draft;
use crate::event::Fact;
use crate::refused::{RefusalCode, Refused};
use crate::stage::CycleOutcome;

impl Draft<'_> {
    /// Ends the open cycle as ERASED. What is left is a row of the ledger: stages, reasons, amounts and times.
    pub fn erase(&mut self) -> Result<(), Refused> {
        let lead = &self.journey.lead;
        if lead.cycle == 0 {
            return Err(Refused::not_found("lead").at("input/lead"));
        }
        if let Some(at) = lead.erased_at {
            let message = format!("this lead was erased at {at}; there is nothing left to erase");
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        if self.journey.is_open() {
            self.end(CycleOutcome::Erased, None, None, Default::default());
        }
        self.cancel_clocks(|_| false);
        self.leave();
        self.emit(Fact::LeadErased {});
        Ok(())
    }
}
