"""Evidence for what the record promises: measured on the real service, on this machine."""
